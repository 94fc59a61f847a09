"""Endpoints below a pod: log, exec, attach, port-forward.

The server speaks the clients' protocols here and leaves the work to the `Kubelet` that registered the pod's node.
"""
