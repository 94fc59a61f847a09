"""Cluster roles that gather the rules of others, by label. Run after each change of a cluster role.

The result is written as a server-side apply of `rules` alone, by MANAGER, with force.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from events.local.apiserver.validation import selectors

Object = Mapping[str, Any]

MANAGER = "clusterrole-aggregation-controller"


def outdated(roles: Iterable[Object]) -> Iterator[tuple[str, list[Object]]]:
    """Name and right rules of each cluster role whose rules are not the gathered ones.

    A role may gather from one that gathers itself: run it again after its results were written, until there are none.
    """
    ordered = sorted(roles, key=lambda role: str(role["metadata"]["name"]))
    for role in ordered:
        gathers = (role.get("aggregationRule") or {}).get("clusterRoleSelectors")
        if gathers:
            gathered = _gathered(role, gathers, ordered)
            if gathered != (role.get("rules") or []):
                yield role["metadata"]["name"], gathered


def _gathered(role: Object, gathers: Iterable[Object], ordered: Iterable[Object]) -> list[Object]:
    found: list[Object] = []
    for selector in gathers:
        for other in ordered:
            labels = other["metadata"].get("labels") or {}
            if other["metadata"]["name"] != role["metadata"]["name"] and selectors.matches(selector, labels):
                found += [rule for rule in other.get("rules") or () if rule not in found]
    return found
