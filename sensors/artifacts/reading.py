"""What all kinds of artifact share: the contract of a reader, its bounds, and which failures are worth another try."""

from __future__ import annotations

from typing import Protocol

from events.errors import ActionError


class Reader(Protocol):
    """Reads the text of one location; called at every attempt, keeps what it may keep."""

    async def read(self) -> str:
        """The text, YAML or JSON; ActionError when it cannot be had, or Refused."""
        ...


class Refused(ActionError):
    """The artifact cannot be used as it is: asking again right away would not help."""


def decoded(content: bytes, name: str) -> str:
    """The text of an artifact; Refused when it is none."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"{name} is not UTF-8 text: {error}") from error


def too_large(name: str, limit: int) -> Refused:
    """The error for an artifact over its limit: cut short it would be another object, or none."""
    return Refused(f"{name} has more than {limit // 1024} KiB")
