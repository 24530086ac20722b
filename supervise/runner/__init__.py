"""What is loaded after the command exists: the loop, the dispatcher, and what performs the machine's actions."""
