"""Heavy work that nobody waits for, for hosts of its own: the queue ``compute``."""
