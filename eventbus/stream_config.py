"""The stream's settings as YAML text: defaults overlaid by an EventBus' own, and narrowed to what its servers hold.

Contract: sensors E.1 (merged streamConfig), flaw E5. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from events import yamls
from events.errors import UserError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "t": 1000**4,
    **{f"{letter}{rest}": 1024**power for power, letter in enumerate("kmgt", 1) for rest in ("b", "i", "ib")},
}
_SHARE = 0.6
"""How much of a volume events may fill: the rest is for dead letters, state, and what is being compacted."""


def values(text: str) -> dict[str, Any]:
    """The settings by lower-case key; UserError when the text is no map."""
    try:
        raw = yamls.load_one(text) if text.strip() else {}
    except UserError as error:
        raise UserError(f"is not YAML: {error.message}", path="streamConfig") from error
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise UserError("is not a map", path="streamConfig")
    return {str(key).lower(): value for key, value in raw.items()}


def merged(default: str, own: str) -> str:
    """Both, the bus' own before the default, with lower-case keys in order: what Argo Events writes."""
    return written({**values(default), **values(own)})


def written(settings: Mapping[str, Any]) -> str:
    """Settings as text."""
    return yamls.dump(dict(sorted(settings.items()))) if settings else ""


def fitting(text: str, servers: int, volume: int | None) -> str:
    """`text` with no more copies than there are servers, and no more bytes than a volume (of so many) has room for."""
    settings = values(text)
    replicas, most = settings.get("replicas"), settings.get("maxbytes")
    if isinstance(replicas, int) and replicas > servers:
        settings["replicas"] = servers
    if volume is not None and isinstance(most, int) and most > int(volume * _SHARE):
        settings["maxbytes"] = int(volume * _SHARE)
    return written(settings)


def size(text: str) -> int | None:
    """The bytes of `20Gi`, `1GB` (1024³, as nats-server has it) or a plain number; None when it is none of these."""
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    return int(float(found[1]) * unit) if found and unit else None
