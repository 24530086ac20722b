"""Telling others of a run while it goes on: the messenger's process, its services, and the supervisor's side of it."""
