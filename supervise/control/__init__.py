"""Steering a run from outside: its control socket, the server in the supervisor, and the client in a subcommand."""
