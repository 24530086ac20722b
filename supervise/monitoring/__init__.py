"""Telling others of a run while it goes on: the messenger's process, its hooks, and the supervisor's side of it."""
