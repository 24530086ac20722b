"""Runs as others see them: what is kept of them, and how they are asked and steered."""
