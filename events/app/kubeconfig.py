"""Which API server a command means, and which namespace: the same for all commands that people type."""

from __future__ import annotations

import os
from pathlib import Path

_OWN = Path(".keryx") / "up" / "kubeconfig"
"""What `keryx up` writes unless it is told otherwise."""
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def find(given: Path | None) -> str | None:
    """The option's, else KUBECONFIG, else that of `keryx up`; None leaves it to the pod or ~/.kube/config."""
    if given is not None:
        return str(given)
    return os.environ.get("KUBECONFIG") or (str(_OWN) if _OWN.is_file() else None)


def namespace(where: str | None, context: str | None) -> str:
    """That of the context, else the pod's, else `default`. UserError when there is no kubeconfig at all."""
    from events.kube import connection, kubeconfig

    where = where or connection.found()
    if where:
        return kubeconfig.namespace(where, context) or "default"
    try:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"
