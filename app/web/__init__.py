"""HTTP: the page, uploads, jobs, and what the cluster is doing."""
