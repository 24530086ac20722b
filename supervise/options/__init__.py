"""From words to values: the one table of options, and the readers of the command line and of the configuration."""
