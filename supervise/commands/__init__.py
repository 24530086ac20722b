"""What supervise does beside running a command: a file for each, and the table that names them.

They go the fast way, as a run does: read by the table, done without typer and trio.
"""
