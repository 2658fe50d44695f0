"""The Django app of the data: devices, their reports and states, and the messages that could not be decoded."""
