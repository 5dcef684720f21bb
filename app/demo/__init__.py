"""What the three demos share: options, participants, the story on screen, the load."""
