"""Roles and bindings by subject, kept up to date by the store; what a user may do in a namespace, compiled once.

Nothing is read per request but dictionaries: a change of any role or binding only forgets what was compiled from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from events.local.apiserver.access.identity import MASTERS, Attributes, User, service_account
from events.local.apiserver.access.rbac import rules
from events.local.apiserver.access.rbac.rules import ALL, Rule

Object = Mapping[str, Any]
Key = tuple[str, str]
"""Namespace (empty for the cluster) and name."""

GROUP = "rbac.authorization.k8s.io"
_MOST_COMPILED = 2_000
_BINDINGS = ("ClusterRoleBinding", "RoleBinding")


class RoleSource(Protocol):
    """Where roles and bindings come from: the store."""

    def role_objects(self) -> Iterable[Object]:
        """All objects of the four kinds, each with its `kind`."""

    def on_role_change(self, changed: Callable[[Object | None, Object | None], None]) -> None:
        """Call `changed(old, new)` after each write of one; None for what was or is not there."""


@dataclass(frozen=True)
class Decision:
    """Whether, and why; an empty reason when there is nothing to say."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True)
class _Binding:
    kind: str
    namespace: str
    name: str
    role_kind: str
    role: str
    subjects: tuple[tuple[Key, str], ...]
    """Each as (`User` or `Group`, name), and how messages show it."""

    def __str__(self) -> str:
        where = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f'{self.kind} "{where}" of {self.role_kind} "{self.role}"'


@dataclass
class Grants:
    """What one user may do in one namespace."""

    sources: list[tuple[str, Rule]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _by_verb: dict[str, list[int]] = field(default_factory=dict)

    def add(self, source: str, granted: Iterable[Rule]) -> None:
        for rule in granted:
            for verb in set(rule.verbs):
                self._by_verb.setdefault(verb, []).append(len(self.sources))
            self.sources.append((source, rule))

    @property
    def rules(self) -> list[Rule]:
        return [rule for _, rule in self.sources]

    @property
    def problem(self) -> str:
        """Bindings to roles that are not there, in one text."""
        different = list(dict.fromkeys(self.problems))
        return different[0] if len(different) == 1 else f"[{', '.join(different)}]" if different else ""

    def decide(self, wanted: Attributes) -> Decision:
        for verb in (wanted.verb, ALL):
            for index in self._by_verb.get(verb, ()):
                source, rule = self.sources[index]
                if rule.allows(wanted):
                    return Decision(allowed=True, reason=f"RBAC: allowed by {source}")
        return Decision(allowed=False, reason=f"RBAC: {self.problem}" if self.problems else "")


class Index:
    """All roles and bindings."""

    def __init__(self) -> None:
        self._roles: dict[Key, tuple[Rule, ...]] = {}
        self._bindings: dict[tuple[str, str, str], _Binding] = {}
        self._by_subject: dict[tuple[str, Key], dict[str, _Binding]] = {}
        self._compiled: dict[tuple[str, tuple[str, ...], str], Grants] = {}

    def follow(self, source: RoleSource) -> None:
        """Take all that is there, and each change from now on."""
        source.on_role_change(self.changed)
        for it in source.role_objects():
            self.changed(None, it)

    def changed(self, old: Object | None, new: Object | None) -> None:
        """An object was created (`old` None), replaced, or removed (`new` None)."""
        it = new if new is not None else old
        if it is None:
            return
        namespace, name = it["metadata"].get("namespace", ""), it["metadata"]["name"]
        if it["kind"] in _BINDINGS:
            self._unbind((it["kind"], namespace, name))
            if new is not None:
                self._bind(_read_binding(new))
        elif new is not None:
            self._roles[namespace, name] = rules.read(new.get("rules"))
        else:
            self._roles.pop((namespace, name), None)
        self._compiled.clear()

    def _bind(self, binding: _Binding) -> None:
        self._bindings[binding.kind, binding.namespace, binding.name] = binding
        for subject, _ in binding.subjects:
            self._by_subject.setdefault((binding.namespace, subject), {})[binding.name] = binding

    def _unbind(self, key: tuple[str, str, str]) -> None:
        binding = self._bindings.pop(key, None)
        for subject, _ in binding.subjects if binding else ():
            place = (key[1], subject)
            if held := self._by_subject.get(place):
                held.pop(key[2], None)
                if not held:
                    del self._by_subject[place]

    def authorize(self, user: User, wanted: Attributes) -> Decision:
        """Whether a user may do something."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        return self.grants(user, wanted.namespace).decide(wanted)

    def grants(self, user: User, namespace: str) -> Grants:
        """What a user's bindings give him: those of the cluster, then those of the namespace."""
        key = (user.name, user.groups, namespace)
        known = self._compiled.get(key)
        if known is None:
            if len(self._compiled) >= _MOST_COMPILED:
                self._compiled.clear()
            known = self._compiled[key] = self._compile(user, namespace)
        return known

    def _compile(self, user: User, namespace: str) -> Grants:
        grants = Grants()
        subjects = {("User", user.name), *(("Group", group) for group in user.groups)}
        for scope in ("", namespace) if namespace else ("",):
            bound: dict[str, _Binding] = {}
            for subject in subjects:
                bound |= self._by_subject.get((scope, subject), {})
            for _, binding in sorted(bound.items()):
                granted = self.rules_of(binding.role_kind, binding.role, scope)
                if granted is None:
                    grants.problems.append(f'{binding.role_kind.lower()}.{GROUP} "{binding.role}" not found')
                    continue
                shown = next(text for subject, text in binding.subjects if subject in subjects)
                grants.add(f"{binding} to {shown}", granted)
        return grants

    def rules_of(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...] | None:
        """The rules of a role that a binding in `namespace` names; None when it is not there."""
        return self._roles.get((namespace if kind == "Role" else "", name))


def _read_binding(it: Object) -> _Binding:
    namespace = it["metadata"].get("namespace", "")
    subjects = tuple(read for one in it.get("subjects") or () if (read := _read_subject(one, namespace)))
    role = it.get("roleRef") or {}
    return _Binding(it["kind"], namespace, it["metadata"]["name"], role.get("kind", ""), role.get("name", ""), subjects)


def _read_subject(subject: Object, namespace: str) -> tuple[Key, str] | None:
    kind, name = subject.get("kind", ""), subject.get("name", "")
    if kind in ("User", "Group"):
        return (kind, name), f'{kind} "{name}"'
    home = subject.get("namespace") or namespace
    if kind != "ServiceAccount" or not home:
        return None
    return ("User", service_account(home, name)), f'{kind} "{name}/{home}"'
