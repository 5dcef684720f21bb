"""Generators of the pages that are made, not written."""
