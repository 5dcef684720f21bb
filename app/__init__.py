"""What runs in a pod: the worker, the three protocols and what the demos share."""

import importlib.util
import os
import sys
import warnings

# What app imports of others' packages.
_PACKAGES = ("eventlet", "flask", "kazoo", "multipart", "numpy", "PIL", "pydantic", "rich", "werkzeug")
_USAGE = 2


def _missing() -> str:
    """What this Python lacks to run app, and how to get it, in one line; empty if it lacks nothing."""
    if sys.version_info < (3, 11):  # noqa: UP036 (python3 may be an older one)
        here = ".".join(map(str, sys.version_info[:2]))
        return f"Python 3.11 or newer is needed, this is {here}: `make demo PYTHON=python3.12` names another"
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        remedy = "`pip install -r requirements.txt`, or `make demo`, which has a Python of its own"
        return f"not installed for this Python: {', '.join(absent)}: {remedy}"
    return ""


# Here, as it comes before any other import of a demo, the worker or the laboratory: no traceback then.
if _message := _missing():
    sys.stderr.write(f"{_message}\n")
    raise SystemExit(_USAGE)

# All of it must come before eventlet is imported, wherever that happens first. Its resolver mis-walks
# Kubernetes search domains; each of its 20 threads would keep memory of its own, and six are enough for what
# blocks here; and it is in maintenance, which it tells every user on import.
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
os.environ.setdefault("EVENTLET_THREADPOOL_SIZE", "6")
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
