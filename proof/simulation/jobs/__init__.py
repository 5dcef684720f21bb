"""Jobs of the simulated workers, beside the built-in ones."""
