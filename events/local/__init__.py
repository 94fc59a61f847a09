"""A Kubernetes API on this machine, and what runs on it."""
