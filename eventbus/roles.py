"""What a source, and what a sensor, may do on a bus that we run: its NATS user, its buckets and its permissions.

Where a user may ask the JetStream API for a stream, the request names keys that no permission sees. So the small values
of sources are in buckets of their own: reading theirs says nothing of events that wait in a sensor's.
Contract: sensors E.3, flaw Z9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from eventbus import subjects
from eventbus.dead_letters import REDRIVE_SOURCE

Role = Literal["source", "sensor"]
ROLES: tuple[Role, ...] = get_args(Role)
DEAD_LETTERS = "dead-letters"
_API = "$JS.API"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects of NATS."""

    publish: Sequence[str]
    subscribe: Sequence[str]
    never: Sequence[str] = ()
    """Not to be published on, although `publish` has it."""


def part(role: Role | None) -> str:
    """What stands before the names of a role's buckets."""
    return "source-" if role == "source" else ""


def inbox(user: str) -> str:
    """Where the answers to a user go: nobody else may listen there."""
    return f"_INBOX.{user}" if user and user == subjects.key_part(user) else "_INBOX"


def permissions(role: Role, namespace: str) -> Permissions:
    """What the user of a role may do on the bus of a namespace."""
    # Redriven events are for the triggers whose dead letters they were; no source is called so.
    redriven = f"{subjects.STREAM}.{REDRIVE_SOURCE}.>"
    own = [subjects.bucket(namespace, f"{part(role)}{name}") for name in ("state", "leases")]
    publish = [*_stream(subjects.STREAM)]
    for bucket in own:
        publish += [*_stream(f"KV_{bucket}", "MSG.GET", "PURGE"), f"$KV.{bucket}.>"]
    if role == "source":
        return Permissions([f"{subjects.STREAM}.>", *publish], [f"{inbox(role)}.>"], never=[redriven])
    letters = subjects.bucket(namespace, DEAD_LETTERS)
    publish += _reading(subjects.STREAM)
    publish += [f"{_API}.CONSUMER.{verb}.{subjects.STREAM}" for verb in ("NAMES", "LIST")]
    publish += [*_stream(letters, "PURGE"), *_reading(letters), f"{letters}.>"]
    # The buckets of Argo Events' own sensors have the sensors' names.
    publish += [f"{_API}.STREAM.MSG.GET.*", f"$JS.ACK.{subjects.STREAM}.>", redriven]
    of_sources = [subjects.bucket(namespace, f"{part('source')}{name}") for name in ("state", "leases")]
    never = [f"{_API}.STREAM.MSG.GET.KV_{bucket}" for bucket in of_sources]
    return Permissions(list(dict.fromkeys(publish)), [f"{inbox(role)}.>"], never)


def _stream(name: str, *verbs: str) -> list[str]:
    return [f"{_API}.STREAM.{verb}.{name}" for verb in ("INFO", "CREATE", *verbs)]


def _reading(stream: str) -> list[str]:
    """Consumers, which a sensor makes and deletes, and what they hand out."""
    consumer = [f"{_API}.CONSUMER.{verb}.{stream}.*" for verb in ("INFO", "DELETE", "MSG.NEXT")]
    # After the name there may be what is filtered.
    return [*consumer, f"{_API}.CONSUMER.CREATE.{stream}.>", f"{_API}.STREAM.MSG.GET.{stream}"]
