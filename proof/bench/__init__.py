"""How fast are the protocols, as ratios to the raw ZooKeeper calls that they can't do without?

Milliseconds say more about a machine than about a program. So every operation is timed beside its *floor*:
the same calls, made bare, with the same sessions and the same handler, sample by sample in turn; and beside
the notes' listing of it. The ratio is what the protocol itself costs. Each floor stands beside its code:

    primary_backup.py   write until the user is answered
    quorum.py           a register's read and write, all well and with one replica slow
    configuration.py    publish until five copies have it

And how it grows with its load, as the exponent of a power law (``growth.py``) with what limits it:

    replicas.py  watchers.py  clients.py  uploads.py (pictures and tasks, on five worker processes)

``worker.py`` has what isn't a growth: five workers idle, over a long day, and without their master.
``run.py`` is the whole of it, ``report.py`` and ``chart.py`` tell it; docs/bench.md says how to read it.
"""

import app  # noqa: F401 (it silences eventlet's farewell, which every process of the bench would print)
