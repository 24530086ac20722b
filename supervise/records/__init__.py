"""The records of runs: written, read, removed when they are old, and what is done about a run that was lost."""
