"""The lesson: one protocol a file, readable from top to bottom."""
