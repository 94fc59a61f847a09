"""A node on which pods are process groups: an ordinary client of the API, the machine is its container runtime."""
