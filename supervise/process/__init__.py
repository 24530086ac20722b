"""The system part: processes, pipes, signals, sockets. It knows nothing of the machine that decides."""
