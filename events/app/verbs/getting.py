"""`keryx get`: the server's tables, or objects as they are stored. Lists come in pages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from events.app.verbs import arguments, tables, written
from events.app.verbs.arguments import Target
from events.app.verbs.session import FAILED, Session
from events.app.verbs.tables import Tables
from events.errors import ActionError, UserError
from events.kube import objects
from events.kube.api import KubeError, Object
from events.kube.client import JSON
from events.kube.discovery import Kind

OUTPUTS = ("", "wide", *written.FORMATS)
PAGE = 500
_WATCH_SECONDS = 3600
_NAMES = ",".join((f"{JSON};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", JSON))
_NAME = ",".join((f"{JSON};as=PartialObjectMetadata;v=v1;g=meta.k8s.io", JSON))


@dataclass(frozen=True)
class Wanted:
    """What is looked for, and how it is shown."""

    words: Sequence[str] = ()
    everywhere: bool = False
    selector: str = ""
    field_selector: str = ""
    output: str = ""
    watches: bool = False
    watches_only: bool = False
    ignores_missing: bool = False
    has_labels: bool = False
    has_headers: bool = True
    has_managed_fields: bool = False

    @property
    def selectors(self) -> dict[str, str]:
        """Of the API."""
        return {"labelSelector": self.selector, "fieldSelector": self.field_selector}


@dataclass
class Getting:
    """One run: errors are kept until everything that could be shown is."""

    session: Session
    wanted: Wanted
    errors: list[ActionError] = field(default_factory=list)
    versions: dict[Kind, str] = field(default_factory=dict)
    """Where each list ended: what a watch begins after."""

    # ---- asking

    def where(self, target: Target) -> str:
        """The path of a target."""
        namespace = None if self.wanted.everywhere and not target.name else self.session.namespace
        return objects.path(target.kind.resource, namespace=namespace, name=target.name or None)

    async def pages(self, target: Target, accept: str) -> AsyncGenerator[Object, None]:
        """What is there of a target, page by page; what cannot be had is an error among the others."""
        try:
            if target.name:
                yield await self.session.api.call("GET", self.where(target), accept=accept)
                return
            params: Mapping[str, str] = {"limit": str(PAGE), **self.wanted.selectors}
            while True:
                answer = await self.session.api.call("GET", self.where(target), params=params, accept=accept)
                metadata = answer.get("metadata") or {}
                self.versions[target.kind] = metadata.get("resourceVersion") or ""
                yield answer
                if not metadata.get("continue"):
                    return
                params = {**params, "continue": metadata["continue"]}
        except ActionError as error:
            if not (self.wanted.ignores_missing and target.name and getattr(error, "status", 0) == 404):
                self.errors.append(error)

    # ---- showing

    async def tables(self, targets: Sequence[Target], shown: Tables) -> None:
        """Tables of all targets, those of one kind as one: the longest name decides, wherever it stands."""
        for target in targets:
            async for table in self.pages(target, tables.ACCEPT):
                shown.add(target.kind, table)
        shown.flush()

    async def objects(self, targets: Sequence[Target]) -> None:
        """The objects of all targets; one that was named is no list."""
        output = self.wanted.output
        is_list = len(targets) > 1 or not targets[0].name
        out = written.Written(
            self.session.screen, output, is_list=is_list, has_managed_fields=self.wanted.has_managed_fields
        )
        for target in targets:
            accept = JSON if output != "name" else _NAME if target.name else _NAMES
            async for answer in self.pages(target, accept):
                for obj in items(answer):
                    out.add(target.kind, obj)
        if is_list or not self.errors:
            out.end()

    def finish(self, *, is_empty: bool, is_home: bool) -> int:
        """What is said at the end; the exit code."""
        for error in self.errors:
            self.session.refused(error)
        if is_empty and not self.errors and not self.wanted.ignores_missing:
            where = f" in {self.session.namespace} namespace." if is_home else ""
            self.session.screen.note(f"No resources found{where}")
        return FAILED if self.errors else 0

    # ---- watching

    async def watch(self, target: Target, shown: Tables) -> int:
        """Every change from now on, until the one who watches has enough."""
        kind, named = target.kind, f"metadata.name={target.name}" if target.name else ""
        selector = ",".join(filter(None, (self.wanted.field_selector, named)))
        out = written.Written(self.session.screen, self.wanted.output, is_list=False)
        is_table = self.wanted.output in ("", "wide")
        where = objects.path(kind.resource, namespace=None if self.wanted.everywhere else self.session.namespace)
        version = self.versions.get(kind, "")
        while True:
            params = {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(_WATCH_SECONDS),
                "resourceVersion": version,
                "labelSelector": self.wanted.selector,
                "fieldSelector": selector,
            }
            events = self.session.api.watch_at(where, params, accept=tables.ACCEPT if is_table else JSON)
            async with aclosing(events):
                async for event in events:
                    version = _version(event["object"]) or version
                    if event["type"] == "BOOKMARK":
                        continue
                    if is_table:
                        shown.add(kind, event["object"])
                        shown.flush()
                    else:
                        out.add(kind, event["object"])
                        self.session.screen.flush()


async def get(session: Session, wanted: Wanted) -> int:
    """Show what is there, and what becomes of it when it is watched."""
    if wanted.output not in OUTPUTS:
        raise UserError(f"{wanted.output!r} is no output", path="--output", cure=f"one of {', '.join(OUTPUTS[1:])}")
    targets = arguments.targets(await session.catalogue(), wanted.words)
    _check(targets, wanted)
    kinds = list(dict.fromkeys(target.kind for target in targets))
    style = tables.Style(
        is_wide=wanted.output == "wide",
        has_headers=wanted.has_headers,
        has_namespaces=wanted.everywhere,
        has_kinds=len(kinds) > 1,
        has_labels=wanted.has_labels,
    )
    getting, shown = Getting(session, wanted), Tables(session.screen, style)
    if wanted.watches or wanted.watches_only:
        return await _watched(getting, targets[0], shown)
    if wanted.output in written.FORMATS:
        await getting.objects(targets)
    else:
        await getting.tables(targets, shown)
    is_home = not wanted.everywhere and any(kind.resource.namespaced for kind in kinds)
    return getting.finish(is_empty=shown.is_empty and wanted.output not in written.FORMATS, is_home=is_home)


async def _watched(getting: Getting, target: Target, shown: Tables) -> int:
    wanted = getting.wanted
    is_table = wanted.output in ("", "wide")
    listed = Target(target.kind, "" if wanted.watches_only else target.name)
    async with aclosing(getting.pages(listed, tables.ACCEPT if is_table else JSON)) as pages:
        async for answer in pages:
            if wanted.watches_only:
                break
            if target.name:
                getting.versions[target.kind] = _version(answer)
            _begin(getting, target, shown, answer)
    if getting.errors:
        return getting.finish(is_empty=False, is_home=False)
    while True:
        try:
            return await getting.watch(target, shown)
        except KubeError as error:
            if error.status != 410:
                raise
            getting.versions[target.kind] = ""  # too old: what is there now comes again


def _begin(getting: Getting, target: Target, shown: Tables, answer: Object) -> None:
    if getting.wanted.output in ("", "wide"):
        shown.add(target.kind, answer)
        shown.flush()
        return
    out = written.Written(getting.session.screen, getting.wanted.output, is_list=False)
    for obj in items(answer):
        out.add(target.kind, obj)
    getting.session.screen.flush()


def _check(targets: Sequence[Target], wanted: Wanted) -> None:
    if any(target.name for target in targets):
        if wanted.everywhere:
            raise UserError("a resource cannot be retrieved by name across all namespaces", cure="give -n NAMESPACE")
        if wanted.selector or wanted.field_selector:
            raise UserError("a name and a selector are too much", cure="give one of them")
    if (wanted.watches or wanted.watches_only) and len(targets) > 1:
        raise UserError("only one kind, or one object, can be watched at once", path="--watch")


def items(answer: Object) -> Iterator[Object]:
    """The objects of an answer: of a list, or the one that it is."""
    yield from answer["items"] if isinstance(answer.get("items"), list) else [answer]


def _version(answer: Object) -> str:
    """The version of an object, or of the newest row of a table."""
    if answer.get("kind") != "Table":
        return str((answer.get("metadata") or {}).get("resourceVersion") or "")
    rows = answer.get("rows") or []
    metadata = (rows[-1].get("object") or {}).get("metadata") or {} if rows else answer.get("metadata") or {}
    return str(metadata.get("resourceVersion") or "")
