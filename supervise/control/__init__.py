"""Requests a run from outside: its socket, the server in the supervisor and the client in a command."""
