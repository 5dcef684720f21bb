"""One seed, one run: the project's own code on a simulated ensemble, in virtual time.

See docs/simulation.md: what ZooKeeper promises and this keeps, and what it can't show.
"""
