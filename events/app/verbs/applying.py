"""`keryx apply`: server-side apply of every object of some files, under the field manager `keryx`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from events.app.documents import Document
from events.app.verbs import inputs, written
from events.app.verbs.inputs import Inputs
from events.app.verbs.session import FAILED, Session, told
from events.errors import ActionError, UserError
from events.kube import applying, objects, patches
from events.kube.api import KubeError, Object, Resource
from events.problems import Problem, Severity

MANAGER = "keryx"
CREATOR = "keryx-create"
_ESTABLISHED_SECONDS = 30.0
_PAUSE = 0.1
_OURS = ("EventBus", "EventSource", "Sensor")
_FORMER = (("kubectl-client-side-apply", "Update"), (CREATOR, "Update"))
"""Whose fields become ours: what was once applied by kubectl, or made by `keryx create`."""
_IGNORED = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")
Act = Callable[[Document], Awaitable[None]]


@dataclass(frozen=True)
class Wanted:
    """How objects are written."""

    is_dry: bool = False
    output: str = ""

    @property
    def params(self) -> dict[str, str]:
        """Of the API."""
        return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if self.is_dry else {})


async def apply(session: Session, found: Inputs, wanted: Wanted) -> int:
    """Make all objects so; one that cannot be does not stop the others."""
    code = found.tell(session.screen)
    fresh: list[str] = []
    for document in found.documents:
        if fresh and document.raw["kind"] != "CustomResourceDefinition":
            await _established(session, fresh)
            fresh = []
        if not await attempt(session, document, lambda one: _apply(session, one, wanted)):
            code = FAILED
        elif document.raw["kind"] == "CustomResourceDefinition" and not wanted.is_dry:
            fresh.append(document.raw["metadata"]["name"])
    return code


async def attempt(session: Session, document: Document, act: Act) -> bool:
    """Whether it could be done; says why not, with the place in the file."""
    known = len(session.warnings)
    try:
        await act(document)
    except UserError as error:
        session.screen.note(f"keryx: {error}")
        return False
    except ActionError as error:
        lines = [one for one in _linted(document) if one.severity is Severity.ERROR]
        refused = isinstance(error, KubeError) and error.status in (400, 422) and lines
        for problem in lines if refused else inputs.problems(document, error, told(error)):
            session.screen.note(f"keryx: {problem}")
        return False
    if len(session.warnings) == known:  # a server with our admission has said it all
        for problem in _linted(document):
            session.screen.note(f"Warning: {problem}")
    return True


def _linted(document: Document) -> Iterator[Problem]:
    """What lint says of an object of ours; heavy to import, so only for them."""
    if document.raw["kind"] in _OURS and str(document.raw["apiVersion"]).startswith("argoproj.io/"):
        from events.app import lint

        yield from lint.problems_of(document)


async def _apply(session: Session, document: Document, wanted: Wanted) -> None:
    obj, metadata = document.raw, document.raw["metadata"]
    if not metadata.get("name"):
        message = "a generated name makes a new object each time, there is nothing to apply to"
        problem = Problem("metadata.generateName", message, f"keryx create -f {document.file}")
        raise UserError(str(document.located(problem)))
    resource = await session.api.resource(*objects.kind_of(obj))
    namespace = inputs.home(document, session.given, session.namespace) if resource.namespaced else None
    where = objects.path(resource, namespace=namespace, name=metadata["name"])
    before = await _existing(session, where)
    if before is not None and not wanted.is_dry:
        before = await _adopted(session, where, before)
    answer = await session.api.call(
        "PATCH",
        where,
        params=wanted.params | {"fieldManager": MANAGER, "force": "true"},
        body=obj,
        content_type=patches.APPLY,
    )
    show(session, resource, answer, _outcome(before, answer, wanted), wanted)


def show(session: Session, resource: Resource, obj: Object, outcome: str, wanted: Wanted) -> None:
    """One line for what was done, or the object itself."""
    whole = {"apiVersion": resource.api_version, "kind": resource.kind} | obj
    if wanted.output == "name":
        session.screen.line(inputs.word(whole))
    elif wanted.output == "yaml":
        session.screen.text(f"---\n{written.dumped(written.shown(whole), 'yaml')}")
    elif wanted.output:
        session.screen.line(written.dumped(written.shown(whole), wanted.output))
    else:
        session.screen.line(f"{inputs.word(whole)} {outcome}{' (server dry run)' if wanted.is_dry else ''}")
    session.screen.flush()


async def _existing(session: Session, where: str) -> Object | None:
    try:
        return await session.api.call("GET", where)
    except KubeError as error:
        if error.status == 404:
            return None
        raise


async def _adopted(session: Session, where: str, before: Object) -> Object:
    """The object, once fields that were applied in another way are ours: those we say no more shall go."""
    body = applying.adopting(before["metadata"], MANAGER, _is_former)
    if body is None:
        return before
    try:
        await session.api.call("PATCH", where, body=body, content_type=patches.JSON)
    except KubeError as error:
        if error.status != 409:  # somebody wrote just now; the next apply does it
            raise
    return before


def _is_former(entry: Object) -> bool:
    return (entry.get("manager"), entry.get("operation")) in _FORMER and not entry.get("subresource")


def _outcome(before: Object | None, after: Object, wanted: Wanted) -> str:
    if before is None:
        return "created"
    if not wanted.is_dry and before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion"):
        return "unchanged"
    return "unchanged" if _content(before) == _content(after) else "configured"


def _content(obj: Object) -> Object:
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _IGNORED}
    return {name: value for name, value in obj.items() if name != "status"} | {"metadata": metadata}


async def _established(session: Session, names: list[str]) -> None:
    """Wait until the server serves new kinds; objects of a kind that is still missing say so themselves."""
    resource = await session.api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    ends = asyncio.get_running_loop().time() + _ESTABLISHED_SECONDS
    for name in names:
        while not _is_established(await session.api.get(resource, name)):
            if asyncio.get_running_loop().time() > ends:
                session.screen.note(f"Warning: {name} is not served after {_ESTABLISHED_SECONDS:g} s")
                return
            await asyncio.sleep(_PAUSE)


def _is_established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)
