"""What runs in a pod: the worker, the three protocols and what the demos share."""

import os
import warnings

# Both must come before eventlet is imported, wherever that happens first. Its resolver mis-walks Kubernetes
# search domains; and it is in maintenance, which it tells every user on import: we know (design, section 2).
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
