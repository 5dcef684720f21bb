"""What runs in a pod: the worker, the three protocols and what the demos share."""

import os
import warnings

# All of it must come before eventlet is imported, wherever that happens first. Its resolver mis-walks
# Kubernetes search domains; each of its 20 threads would keep memory of its own, and six are enough for what
# blocks here; and it is in maintenance, which it tells every user on import.
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
os.environ.setdefault("EVENTLET_THREADPOOL_SIZE", "6")
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
