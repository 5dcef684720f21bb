"""One machine as a laboratory: a real ZooKeeper ensemble whose servers can be killed, paused and cut off.

The process that owns the ensemble (the supervisor) is never the one that uses it: demos and tests run
eventlet, and a Docker SDK call or a wait for a process would freeze every green thread of theirs. They ask
the supervisor through a Unix socket instead (`lab/control.py`; the asking side is `app/demo/servers.py`).
"""

import app as app  # which says in one line what this Python lacks
