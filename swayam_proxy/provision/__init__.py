"""Who sets backends up: a sidecar, a local process."""
