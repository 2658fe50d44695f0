"""The gateway: links, sessions, batches and acks; the one-machine stack, the simulator and the command line."""
