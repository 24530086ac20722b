"""What is told, and to whom: text for people, JSON for programs. Faces decide nothing."""
