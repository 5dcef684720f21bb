"""The real image in the manifests' containers, on a private network; the faults are the engine's."""
