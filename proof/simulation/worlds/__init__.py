"""The worlds: each plays one protocol under a load and a nemesis, and asks the demos' own judge."""
