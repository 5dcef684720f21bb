import os
import signal
import sys

from proof.chaos import main

if __name__ == "__main__":
    # Told to end in either way, it heals what it has harmed and leaves nothing behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # kazoo's and eventlet's leftovers need no farewell
