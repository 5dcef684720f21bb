"""What a first reading of the protocols does without: versions, fan-out, replicas, disks, epochs, records."""
