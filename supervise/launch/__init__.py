"""What may be loaded before the command exists: built-in modules, and a file for each thing that few runs ask for."""
