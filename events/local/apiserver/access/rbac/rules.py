"""One rule of a role: what it allows, what it covers of another, how it is written in messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from events.local.apiserver.access.identity import Attributes
from events.local.apiserver.validation.causes import quoted

Object = Mapping[str, Any]
ALL = "*"
_OF_ALL = "*/"


@dataclass(frozen=True)
class Rule:
    """A `PolicyRule`."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def read(cls, rule: Object) -> Rule:
        """From a role as stored."""
        keys = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(rule.get(key) or ()) for key in keys))

    @cached_property
    def _resources(self) -> frozenset[str]:
        return frozenset(self.resources)

    def has_verb(self, verb: str) -> bool:
        return ALL in self.verbs or verb in self.verbs

    def allows(self, wanted: Attributes) -> bool:
        """Whether a request is allowed."""
        if not self.has_verb(wanted.verb):
            return False
        if not wanted.is_resource:
            return any(_path_covers(path, wanted.path) for path in self.paths)
        return (
            (ALL in self.groups or wanted.group in self.groups)
            and self._has_resource(wanted.full_resource, wanted.subresource)
            and (not self.names or wanted.name in self.names)
        )

    def _has_resource(self, full: str, subresource: str) -> bool:
        listed = self._resources
        return full in listed or ALL in listed or (bool(subresource) and _OF_ALL + subresource in listed)

    def covers(self, other: Rule) -> bool:
        """Whether who has this rule has the other too; the other is one of `single`."""
        return (
            all(map(self.has_verb, other.verbs))
            and (ALL in self.groups or set(other.groups) <= set(self.groups))
            and all(self._has_resource(one, one.partition("/")[2]) for one in other.resources)
            and all(any(_path_covers(mine, path) for mine in self.paths) for path in other.paths)
            and (not self.names or (bool(other.names) and set(other.names) <= set(self.names)))
        )

    def single(self) -> Iterator[Rule]:
        """The same permissions, one at a time."""
        for group in self.groups:
            for resource in self.resources:
                for verb in self.verbs:
                    for name in self.names or (None,):
                        yield Rule((verb,), (group,), (resource,), (name,) if name is not None else ())
        for path in self.paths:
            for verb in self.verbs:
                yield Rule((verb,), paths=(path,))

    def __str__(self) -> str:
        """As messages show it: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.paths),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{key}:{listed(values)}" for key, values in parts if values) + "}"


def listed(values: Iterable[str]) -> str:
    """Texts in brackets, as messages show them."""
    return f"[{' '.join(map(quoted, values))}]"


def read(rules: Sequence[Object] | None) -> tuple[Rule, ...]:
    """The rules of a role."""
    return tuple(Rule.read(rule) for rule in rules or ())


def missing(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The single permissions among `wanted` that no owned rule covers."""
    return [one for rule in wanted for one in rule.single() if not any(mine.covers(one) for mine in owned)]


def compact(rules: Iterable[Rule]) -> list[Rule]:
    """Verbs of one resource brought together again, others as they are."""
    others: list[Rule] = []
    simple: dict[tuple[str, str, tuple[str, ...]], Rule] = {}
    for rule in rules:
        if len(rule.groups) != 1 or len(rule.resources) != 1 or len(rule.names) > 1 or rule.paths:
            others.append(rule)
            continue
        key = (rule.groups[0], rule.resources[0], rule.names)
        known = simple.get(key)
        verbs = known.verbs + tuple(verb for verb in rule.verbs if verb not in known.verbs) if known else rule.verbs
        simple[key] = Rule(verbs, rule.groups, rule.resources, rule.names)
    return others + list(simple.values())


def _path_covers(pattern: str, path: str) -> bool:
    return pattern == path or (pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL)))
