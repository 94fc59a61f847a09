"""`keryx delete`: objects by name, by labels or of files, and the wait until they are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from events.app.verbs import arguments, inputs
from events.app.verbs.getting import PAGE
from events.app.verbs.inputs import Inputs
from events.app.verbs.session import FAILED, Session
from events.errors import ActionError, UserError
from events.kube import objects
from events.kube.api import KubeError, Object
from events.kube.discovery import Kind

SECONDS = 120.0
_SHORTEST, _LONGEST = 0.05, 1.0


@dataclass(frozen=True)
class Wanted:
    """What is to go, and how."""

    words: Sequence[str] = ()
    files: Inputs | None = None
    is_all: bool = False
    everywhere: bool = False
    selector: str = ""
    field_selector: str = ""
    grace: int | None = None
    cascade: str = "background"
    is_dry: bool = False
    waits: bool = True
    seconds: float = SECONDS
    ignores_missing: bool = False
    output: str = ""

    @property
    def options(self) -> Object:
        """Of the API."""
        found: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": self.cascade.capitalize()}
        if self.grace is not None:
            found["gracePeriodSeconds"] = self.grace
        return found | ({"dryRun": ["All"]} if self.is_dry else {})


@dataclass(frozen=True, slots=True)
class Victim:
    """One object that is to go."""

    word: str
    name: str
    where: str


async def delete(session: Session, wanted: Wanted) -> int:
    """Delete all that is meant; one that cannot be deleted does not stop the others."""
    if wanted.files is not None:
        code, victims = await _of_files(session, wanted, wanted.files)
    else:
        code, victims = 0, await _of_words(session, wanted)
        if not victims and not any(_is_named(wanted)):
            session.screen.note("No resources found")
    going: list[tuple[Victim, str]] = []
    for victim in victims:
        try:
            answer = await session.api.call("DELETE", victim.where, body=wanted.options)
        except ActionError as error:
            if not (wanted.ignores_missing and getattr(error, "status", 0) == 404):
                code = session.refused(error)
            continue
        going.append((victim, _uid(answer)))
        _show(session, victim, wanted)
    if wanted.waits and not wanted.is_dry:
        code = max(code, await _wait(session, going, wanted.seconds))
    return code


def _show(session: Session, victim: Victim, wanted: Wanted) -> None:
    dry = " (server dry run)" if wanted.is_dry else ""
    name = f"{victim.word}/{victim.name}"
    session.screen.line(name if wanted.output == "name" else f'{victim.word} "{victim.name}" deleted{dry}')
    session.screen.flush()


def _is_named(wanted: Wanted) -> list[str]:
    return [word for word in wanted.words if "/" in word] or list(wanted.words[1:])


async def _of_words(session: Session, wanted: Wanted) -> list[Victim]:
    targets = arguments.targets(await session.catalogue(), wanted.words)
    selects = bool(wanted.selector or wanted.field_selector or wanted.is_all)
    if any(target.name for target in targets) and (selects or wanted.everywhere):
        raise UserError("a name and a selector, --all or -A are too much", cure="give one of them")
    found: list[Victim] = []
    for target in targets:
        if target.name:
            found.append(_victim(target.kind, target.name, session.namespace))
        elif selects:
            found += await _listed(session, target.kind, wanted)
        else:
            raise UserError(f"which {target.kind.words}?", cure="give names, -l SELECTOR or --all")
    return found


def _victim(kind: Kind, name: str, namespace: str | None) -> Victim:
    return Victim(kind.word, name, objects.path(kind.resource, namespace=namespace, name=name))


async def _listed(session: Session, kind: Kind, wanted: Wanted) -> list[Victim]:
    """All of a kind, read before the first one goes."""
    where = objects.path(kind.resource, namespace=None if wanted.everywhere else session.namespace)
    found: list[Victim] = []
    params = {"limit": str(PAGE), "labelSelector": wanted.selector, "fieldSelector": wanted.field_selector}
    while True:
        answer = await session.api.call("GET", where, params=params)
        for one in answer["items"]:
            metadata = one["metadata"]
            found.append(_victim(kind, metadata["name"], metadata.get("namespace")))
        if not (more := (answer.get("metadata") or {}).get("continue")):
            return found
        params["continue"] = more


async def _of_files(session: Session, wanted: Wanted, found: Inputs) -> tuple[int, list[Victim]]:
    """Of files in the opposite order: what lives in a namespace, or is of a kind, goes before it."""
    code = found.tell(session.screen)
    victims: list[Victim] = []
    for document in reversed(found.documents):
        obj = document.raw
        try:
            if not (name := obj["metadata"].get("name")):
                raise UserError(f"{document.file}: {document.name}: without a name nothing can be deleted")
            resource = await session.api.resource(*objects.kind_of(obj))
            namespace = inputs.home(document, session.given, session.namespace) if resource.namespaced else None
            victims.append(_victim(Kind(resource), name, namespace))
        except UserError as error:
            session.screen.note(f"keryx: {error}")
            code = FAILED
        except KubeError as error:
            if not (wanted.ignores_missing and error.status == 404):
                code = session.refused(error)
    return code, victims


def _uid(answer: Object) -> str:
    """Of the object that goes, or that a Status speaks of."""
    details = answer.get("details") if answer.get("kind") == "Status" else answer.get("metadata")
    return str((details or {}).get("uid") or "")


async def _wait(session: Session, going: Sequence[tuple[Victim, str]], seconds: float) -> int:
    """Until all are gone, or the time is over; says what holds those that stay."""
    ends, code = asyncio.get_running_loop().time() + seconds, 0
    for victim, uid in going:
        pause = _SHORTEST
        while (found := await _still(session, victim, uid)) is not None:
            if asyncio.get_running_loop().time() >= ends:
                session.screen.note(f"keryx: {_held(victim, found, seconds)}")
                code = FAILED
                break
            await asyncio.sleep(min(pause, max(0.0, ends - asyncio.get_running_loop().time())))
            pause = min(pause * 1.5, _LONGEST)
    return code


async def _still(session: Session, victim: Victim, uid: str) -> Object | None:
    try:
        found = await session.api.call("GET", victim.where)
    except KubeError as error:
        if error.status in (404, 403):  # who may delete may not always look
            return None
        raise
    return found if not uid or found["metadata"].get("uid") == uid else None


def _held(victim: Victim, found: Object, seconds: float) -> str:
    text = f'{victim.word} "{victim.name}" is still there after {seconds:g} s'
    if finalizers := found["metadata"].get("finalizers"):
        cure = "whoever put them there has to take them off, is it running?"
        return str(UserError(f"{text}: it waits for its finalizers {', '.join(finalizers)}", cure=cure))
    return str(UserError(text, cure="it goes on; --timeout gives it longer, --wait=false does not wait"))
