"""What runs in a pod: the worker, the three protocols and what the demos share."""
