"""A Kubernetes API server: discovery, objects, watches; knows no source, sensor or bus."""
