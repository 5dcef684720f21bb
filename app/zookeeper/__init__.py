"""The one place that talks to ZooKeeper: connecting, waiting, one meaning for each failure, every path."""
