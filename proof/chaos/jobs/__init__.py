"""Jobs that only a chaos run has: its workers find them beside the built-in ones."""
