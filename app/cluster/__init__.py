"""Who is in the cluster, and who leads it."""
