"""The controllers there are, by the names that logs, metrics and labels know them by. Contract: sensors F.1.

A new one is a row: what it is made from is in `Surroundings`.
"""

from __future__ import annotations

from collections.abc import Mapping

from events.app.manager import Row


def rows() -> Mapping[str, Row]:
    """Name -> how it is made."""
    return {}
