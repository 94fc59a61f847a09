"""The life of namespaces: nothing is made in one that is not there or is going; some never go."""

from __future__ import annotations

from events.local.apiserver.access.refusals import forbidden_because, not_found
from events.local.apiserver.admission.request import NamespaceLookup, Request
from events.local.apiserver.status import StatusError

IMMORTAL = frozenset({"default", "kube-public", "kube-system"})


def check(request: Request, namespaces: NamespaceLookup) -> None:
    """Raises StatusError 403 or 404."""
    is_namespace = request.kind.group == "" and request.kind.kind == "Namespace"
    if request.operation == "DELETE":
        if is_namespace and request.name in IMMORTAL and not request.subresource:
            raise forbidden_because("", "namespaces", request.name, "this namespace may not be deleted")
        return
    # a review tells nothing of whether the namespace is there
    if is_namespace or not request.namespace or request.resource.resource == "localsubjectaccessreviews":
        return
    namespace = namespaces.namespace(request.namespace)
    if namespace is None:
        raise not_found("", "namespaces", request.namespace)
    if request.operation == "CREATE" and (namespace.get("status") or {}).get("phase") == "Terminating":
        raise _terminating(request)


def _terminating(request: Request) -> StatusError:
    why = f"unable to create new content in namespace {request.namespace} because it is being terminated"
    refused = request.forbidden(why)
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {request.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    return StatusError(403, "Forbidden", refused.message, {**(refused.details or {}), "causes": [cause]})
