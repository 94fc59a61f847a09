"""What is wrong with an EventSource, and with several in one process. Contract: eventsources 1.5, 1.15, 2.5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from eventbus import subjects
from eventbus.dead_letters import REDRIVE_SOURCE
from events import uris
from events import verdict as verdicts
from events.credentials import SecretRef
from events.errors import InvalidObject, UserError
from events.problems import Problem, Problems, join
from events.verdict import Verdict
from eventsources import filters
from eventsources.base import NOT_RUN, Kind, Source, Spec
from eventsources.registry import SOURCES
from eventsources.types import MAX_WORKERS, EventSource
from eventsources.webhooks import WebhookSpec, endpoint_pattern


@dataclass(frozen=True, slots=True)
class _Entry:
    """One event whose spec could be read."""

    path: str
    kind: type[Kind[Any]]
    spec: Spec


def verdict(raw: Any) -> Verdict[EventSource]:
    """Whether an EventSource is accepted, and everything there is to say about it."""
    return verdicts.reach(raw, EventSource, validate)


def validate(event_source: EventSource) -> Problems:
    """All problems of one EventSource."""
    problems = Problems()
    _check_names(event_source, problems)
    entries = list(_entries(event_source, problems))
    for entry in entries:
        entry.kind.validate(entry.spec, problems.at(entry.path))
        if not issubclass(entry.kind, Source):
            problems.warn(entry.path, NOT_RUN)
        filters.validate(entry.spec, problems.at(entry.path))
    _check_mixture(event_source, problems)
    _check_workers(event_source, entries, problems)
    for _, problem in _taken_twice((event_source, endpoint) for endpoint in _endpoints(entries)):
        problems.extend([problem])
    return problems


def not_run(event_source: EventSource) -> Problems:
    """What keeps events from being run by this version, as errors."""
    problems = Problems()
    for entry in _entries(event_source, Problems()):
        if not issubclass(entry.kind, Source):
            problems.error(entry.path, NOT_RUN)
    return problems


def clashes(event_sources: Iterable[EventSource]) -> list[tuple[EventSource, Problem]]:
    """What several EventSources of one process, whose ports are shared, take from each other.

    With the object that has the problem, which is the later of two. What is wrong within one object is `validate`'s.
    """
    found = (
        (event_source, endpoint)
        for event_source in event_sources
        for endpoint in _endpoints(_entries(event_source, Problems()))
    )
    return list(_taken_twice(found, between_objects=True))


def endpoints(event_source: EventSource) -> list[tuple[str, WebhookSpec]]:
    """Where an EventSource listens for HTTP: field path and spec of each endpoint."""
    return [(endpoint.path, endpoint.spec) for endpoint in _endpoints(_entries(event_source, Problems()))]


def _check_names(event_source: EventSource, problems: Problems) -> None:
    """Names become tokens of a subject; each event name stands for one event."""
    metadata = event_source.metadata
    if not (metadata.name or metadata.generate_name):
        problems.error("metadata.name", "required")
    elif metadata.name:
        _check_token(metadata.name, "event source name", "metadata.name", problems)
        _check_source(metadata.name, problems)
    else:
        _check_token(str(metadata.generate_name), "event source name", "metadata.generateName", problems)
    used: dict[str, str] = {}
    for key, events in event_source.spec.sources.items():
        for name in events:
            path = f"spec.{key}.{name}"
            _check_token(name, "event name", path, problems)
            if name in used:
                problems.error(path, f"event name {name!r} is also used at {used[name]}", "give one of them another")
            used.setdefault(name, path)
    if not used:
        cure = "add an event under a source type, such as spec.webhook.example; as it is, nothing is ever published"
        problems.warn("spec", "no event sources are given", cure)


def _check_source(name: str, problems: Problems) -> None:
    """It becomes the source of events, a URI reference: sensors would look for it in vain under another spelling."""
    try:
        is_plain = uris.reference(name) == name
    except UserError:
        is_plain = False
    if not is_plain:
        problems.error("metadata.name", f"{name!r} cannot be the source of events", "use letters, digits and hyphens")
    if name == REDRIVE_SOURCE:
        problems.error("metadata.name", f"{name!r} is the source of dead letters that are redriven", "use another name")


def _check_token(name: str, what: str, path: str, problems: Problems) -> None:
    try:
        subjects.token(name, what)
    except UserError as error:
        problems.error(path, error.message, error.cure)


def _check_mixture(event_source: EventSource, problems: Problems) -> None:
    """Kinds that run on every replica cannot be with those that run on one.

    We could run both; Argo Events refuses such an object, and ours shall be valid there too.
    """
    keys = [key for key, events in event_source.spec.sources.items() if events and key in SOURCES.rows]
    one_place = [key for key in keys if SOURCES.load(key).active_passive]
    everywhere = [key for key in keys if key not in one_place]
    if one_place and everywhere:
        message = f"{', '.join(everywhere)} runs on every replica, {', '.join(one_place)} on one at a time"
        problems.error("spec", f"{message}: they cannot be in one EventSource", "make two EventSources of it")


def _check_workers(event_source: EventSource, entries: Iterable[_Entry], problems: Problems) -> None:
    """They share ports; what listens on none would do its work once in each of them."""
    workers = event_source.spec.workers
    if workers is None:
        return
    if not 1 <= workers <= MAX_WORKERS:
        cure = f"write 1 to {MAX_WORKERS}; more than the cores of its machine gain nothing"
        problems.error("spec.workers", f"{workers} is not a number of processes", cure)
    alone = {entry.path.split(".")[1] for entry in entries if _webhook(entry.spec) is None}
    if workers > 1 and alone:
        message = f"{', '.join(sorted(alone))} has no HTTP endpoint, which is what workers share"
        problems.error(
            "spec.workers", message, "remove workers, or move the HTTP endpoints to an EventSource of theirs"
        )


def _entries(event_source: EventSource, problems: Problems) -> Iterator[_Entry]:
    """The events whose spec can be read; why the others cannot goes to `problems`."""
    for key, events in event_source.spec.sources.items():
        try:
            kind = SOURCES.load(key) if events else None
        except UserError as error:
            problems.error(f"spec.{key}", error.message, error.cure)
            continue
        for name, raw in events.items():
            assert kind is not None
            path = f"spec.{key}.{name}"
            try:
                yield _Entry(path, kind, kind.Spec.parse(raw, on_stray=problems.at(path).extend))
            except InvalidObject as error:
                problems.at(path).extend(error.problems)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """A place where HTTP requests are listened for, and where in its object that is said."""

    path: str
    spec: WebhookSpec
    pattern: str

    @property
    def tls(self) -> tuple[SecretRef | None, SecretRef | None]:
        return self.spec.server_cert_secret, self.spec.server_key_secret


def _endpoints(entries: Iterable[_Entry]) -> Iterator[_Endpoint]:
    """A source listens for HTTP where its spec is a `WebhookSpec`, or has one as `webhook`."""
    for entry in entries:
        found = _webhook(entry.spec)
        if found is None:
            continue
        try:
            pattern = endpoint_pattern(found.endpoint)
        except UserError:
            continue  # reported by its own check
        is_nested = found is getattr(entry.spec, "webhook", None)
        yield _Endpoint(join(entry.path, "webhook") if is_nested else entry.path, found, pattern)


def _webhook(spec: object) -> WebhookSpec | None:
    """Where a source listens for HTTP; None: nowhere."""
    found = getattr(spec, "webhook", None)
    if isinstance(found, WebhookSpec):
        return found
    return spec if isinstance(spec, WebhookSpec) else None


@dataclass(slots=True)
class _Port:
    """Who listens on a port, in the order of the objects; the first one's TLS holds for all."""

    first: tuple[EventSource, _Endpoint]
    taken: dict[str, tuple[EventSource, _Endpoint]] = field(default_factory=dict)


def _taken_twice(
    found: Iterable[tuple[EventSource, _Endpoint]], *, between_objects: bool = False
) -> Iterator[tuple[EventSource, Problem]]:
    """A problem for each endpoint that cannot be listened on beside an earlier one."""
    ports: dict[str, _Port] = {}
    for owner, endpoint in found:
        port = ports.setdefault(endpoint.spec.port, _Port((owner, endpoint)))
        holder, other = port.first
        problem = None
        if holder is not owner and _has_workers(holder, owner):
            message = f"port {endpoint.spec.port} is also listened on at {_where(other, holder, owner)}: the workers "
            message += "of an EventSource share it with each other only"
            problem = Problem(join(endpoint.path, "port"), message, "give this one another port")
        elif other.tls != endpoint.tls:
            message = f"port {endpoint.spec.port} has another certificate, or none, at {_where(other, holder, owner)}"
            cure = "give all events of a port the same certificate, or this one another port"
            problem = Problem(join(endpoint.path, "serverCertSecret"), message, cure)
        elif endpoint.pattern in port.taken:
            holder, other = port.taken[endpoint.pattern]
            message = f"{endpoint.spec.endpoint} on port {endpoint.spec.port} is also listened on at "
            cure = "give one of them another endpoint or port"
            problem = Problem(join(endpoint.path, "endpoint"), f"{message}{_where(other, holder, owner)}", cure)
        port.taken.setdefault(endpoint.pattern, (owner, endpoint))
        if problem is not None and (holder is not owner or not between_objects):
            yield owner, problem


def _has_workers(*event_sources: EventSource) -> bool:
    return any((one.spec.workers or 1) > 1 for one in event_sources)


def _where(other: _Endpoint, holder: EventSource, owner: EventSource) -> str:
    if holder is owner:
        return other.path
    namespace = f"{holder.metadata.namespace}/" if holder.metadata.namespace else ""
    return f"{other.path} of EventSource {namespace}{holder.metadata.name}"
