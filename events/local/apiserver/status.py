"""Refusals, as the API says them."""

from __future__ import annotations

from typing import Any

from events.errors import KeryxError


class StatusError(KeryxError):
    """A `Status` of failure: HTTP code, reason, message, details."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details
