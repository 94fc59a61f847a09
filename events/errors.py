"""Everything that can go wrong, as one tree.

KeryxError
├── UserError                 the author of an object can cure it; carries the field path and the cure
│   ├── InvalidObject         one or more problems of one object
│   ├── UnknownKind           a key no table knows
│   ├── NotAvailable          known to Argo Events, refused by this version, with the reason
│   └── MissingExtra          an adapter's SDK is not installed
├── CredentialError           a mounted secret or config map cannot be read
├── EventError                this event cannot be handled; trying it again would not help
│   ├── InvalidEvent          not a CloudEvent
│   ├── InvalidPath           a dotted path that cannot be read or written
│   ├── FilterError           a filter that cannot be decided
│   ├── TransformError        a transformation that gave no event
│   └── ParameterError        a parameter or payload that cannot be resolved
├── BusError
│   ├── Unavailable           try again later; never the event's fault
│   ├── TooLarge              over the bus's size limit; trying again would not help
│   ├── Conflict              somebody else wrote first: you are not the owner any more
│   ├── Unknown               sent, but unanswered: it may have been written; read back
│   └── NotOwner              the time this process may act for an owned thing is over
└── ActionError               the target refused or failed; counts as an attempt
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from events.problems import Problem


class KeryxError(Exception):
    """Root of the tree. The message says what was wrong, where, and what to do."""


class UserError(KeryxError):
    """Something the author of an object can cure; `path` is the field, `cure` what to do."""

    def __init__(self, message: str, *, path: str = "", cure: str = "") -> None:
        super().__init__(message)
        self.message, self.path, self.cure = message, path, cure

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        cure = f" ({self.cure})" if self.cure else ""
        return f"{where}{self.message}{cure}"


class InvalidObject(UserError):
    """An object with problems; all of them, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = list(problems)


class UnknownKind(UserError):
    """A key that no table knows."""


class NotAvailable(UserError):
    """Known to Argo Events, refused by this version; the message has the reason."""


class MissingExtra(UserError):
    """An adapter's SDK is not installed; the message names the extra to install."""


class CredentialError(KeryxError):
    """A mounted secret or config map is missing or cannot be read."""


class EventError(KeryxError):
    """This event cannot be handled; trying it again would not help."""


class InvalidEvent(EventError):
    """Bytes that are not a CloudEvent in structured JSON."""


class InvalidPath(EventError):
    """A dotted path that cannot be read from, or written into, a document."""


class FilterError(EventError):
    """A filter that cannot be decided for this event."""


class TransformError(EventError):
    """A transformation that gave no event."""


class ParameterError(EventError):
    """A parameter or payload that cannot be resolved from these events."""


class BusError(KeryxError):
    """Something about the bus."""


class Unavailable(BusError):
    """The bus is away or overloaded; try again later."""


class TooLarge(BusError):
    """More bytes than the bus stores in one message."""


class Conflict(BusError):
    """Somebody else wrote first."""


class Unknown(BusError):
    """A write was sent and not answered: read back to learn whether it happened."""


class NotOwner(BusError):
    """This process may not act for the owned thing (any more)."""


class ActionError(KeryxError):
    """The target of a trigger refused or failed."""
