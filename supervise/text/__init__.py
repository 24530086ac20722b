"""Text that comes from others or goes to people: what is shown of it, and how it is written."""
