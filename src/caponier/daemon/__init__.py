"""The daemon: the only part that does I/O in Python."""
