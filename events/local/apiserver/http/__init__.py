"""HTTP: from a request to the operations on objects, and back to an answer a client of Kubernetes understands."""
