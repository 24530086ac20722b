"""Words to values: the one table of the options, and the readers of the command line and the configuration."""
