"""Keys that stand twice in one object of a JSON text. The last one counts, as for a real server; this names them."""

from __future__ import annotations

import json
from typing import Any


class _Twice:
    """An object with keys that were there twice, while its path is not known yet."""

    __slots__ = ("keys", "members")

    def __init__(self, members: dict[str, Any], keys: list[str]) -> None:
        self.members, self.keys = members, keys


def duplicated(text: str | bytes) -> list[str]:
    """Paths of the keys that are there twice, such as `spec.a`; nothing for what is no JSON at all."""
    found = False

    def pairs(members: list[tuple[str, Any]]) -> Any:
        nonlocal found
        result = dict(members)
        if len(result) == len(members):
            return result
        found = True
        seen: set[str] = set()
        twice = [key for key, _ in members if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        return _Twice(result, list(dict.fromkeys(twice)))

    try:
        tree = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return []
    return _paths(tree, "") if found else []


def _paths(value: Any, path: str) -> list[str]:
    names: list[str] = []
    members = value
    if isinstance(value, _Twice):
        names += [f"{path}.{key}".removeprefix(".") for key in value.keys]
        members = value.members
    if isinstance(members, dict):
        for key, item in members.items():
            names += _paths(item, f"{path}.{key}")
    elif isinstance(members, list):
        for index, item in enumerate(members):
            names += _paths(item, f"{path}[{index}]")
    return names
