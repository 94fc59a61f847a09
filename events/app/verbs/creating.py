"""`keryx create`: new objects of files, and namespaces by name."""

from __future__ import annotations

from collections.abc import Sequence

from events.app.documents import Document
from events.app.verbs import applying, inputs
from events.app.verbs.applying import Wanted
from events.app.verbs.inputs import Inputs
from events.app.verbs.session import FAILED, Session
from events.errors import UserError
from events.kube import objects
from events.kube.api import Object

_NAMESPACE = ("namespace", "namespaces", "ns")


def named(words: Sequence[str]) -> Inputs:
    """The objects of `create namespace NAME…`; UserError for other kinds."""
    if words[0] not in _NAMESPACE:
        cure = "write the object to a file, then `keryx create -f FILE`"
        raise UserError(f"{words[0]!r} cannot be created by name, only a namespace can", cure=cure)
    if not words[1:]:
        raise UserError("say the name of the namespace", cure="keryx create namespace NAME")
    return Inputs([Document("command line", _namespace(name)) for name in words[1:]])


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def create(session: Session, found: Inputs, wanted: Wanted) -> int:
    """Create all objects; one that cannot be does not stop the others."""
    code = found.tell(session.screen)
    for document in found.documents:
        if not await applying.attempt(session, document, lambda one: _create(session, one, wanted)):
            code = FAILED
    return code


async def _create(session: Session, document: Document, wanted: Wanted) -> None:
    resource = await session.api.resource(*objects.kind_of(document.raw))
    namespace = inputs.home(document, session.given, session.namespace) if resource.namespaced else None
    where = objects.path(resource, namespace=namespace)
    params = wanted.params | {"fieldManager": applying.CREATOR}
    answer = await session.api.call("POST", where, params=params, body=document.raw)
    applying.show(session, resource, answer, "created", wanted)
