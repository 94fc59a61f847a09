"""Rules of roles and bindings. Source: the validation of the API's own types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.local.apiserver import names
from events.local.apiserver.validation import causes, selectors
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

_GROUP = "rbac.authorization.k8s.io"


def role(it: Object) -> list[Cause]:
    """Rules of one namespace."""
    return _rules(it, namespaced=True)


def cluster_role(it: Object) -> list[Cause]:
    """Rules of the cluster, and what they are gathered from."""
    found = _rules(it, namespaced=False)
    gathered = it.get("aggregationRule")
    if gathered is not None:
        path = "aggregationRule.clusterRoleSelectors"
        chosen = gathered.get("clusterRoleSelectors") or ()
        if not chosen:
            says = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            found.append(causes.required(path, says))
        for index, selector in enumerate(chosen):
            found += selectors.check(f"{path}[{index}]", selector)
    return found


def _rules(it: Object, *, namespaced: bool) -> list[Cause]:
    return [
        cause
        for index, rule in enumerate(it.get("rules") or ())
        for cause in _rule(f"rules[{index}]", rule, namespaced=namespaced)
    ]


def _rule(path: str, rule: Object, *, namespaced: bool) -> list[Cause]:
    found: list[Cause] = []
    if not rule.get("verbs"):
        found.append(causes.required(f"{path}.verbs", "verbs must contain at least one value"))
    if urls := rule.get("nonResourceURLs"):
        here = f"{path}.nonResourceURLs"
        if namespaced:
            found.append(causes.invalid(here, urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            says = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(causes.invalid(here, urls, says))
        return found
    if not rule.get("apiGroups"):
        found.append(causes.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(causes.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def role_binding(it: Object) -> list[Cause]:
    """A role, and who has it, in one namespace."""
    return _binding(it, ("Role", "ClusterRole"), namespaced=True)


def cluster_role_binding(it: Object) -> list[Cause]:
    """A cluster role, and who has it everywhere."""
    return _binding(it, ("ClusterRole",), namespaced=False)


def binding_update(it: Object, old: Object) -> list[Cause]:
    """The role of a binding stays."""
    new, before = it["roleRef"], old["roleRef"]
    if new == before:
        return []
    shown = {"APIGroup": new.get("apiGroup", ""), "Kind": new.get("kind", ""), "Name": new.get("name", "")}
    return [causes.invalid("roleRef", shown, "cannot change roleRef")]


def _binding(it: Object, kinds: tuple[str, ...], *, namespaced: bool) -> list[Cause]:
    ref = it.get("roleRef") or {}
    found: list[Cause] = []
    if ref.get("apiGroup", "") != _GROUP:
        found.append(causes.not_supported("roleRef.apiGroup", ref.get("apiGroup", ""), [_GROUP]))
    if ref.get("kind", "") not in kinds:
        found.append(causes.not_supported("roleRef.kind", ref.get("kind", ""), kinds))
    if name := ref.get("name", ""):
        found += causes.each("roleRef.name", name, names.path_segment(name))
    else:
        found.append(causes.required("roleRef.name"))
    for index, subject in enumerate(it.get("subjects") or ()):
        found += _subject(f"subjects[{index}]", subject, namespaced=namespaced)
    return found


def _subject(path: str, subject: Object, *, namespaced: bool) -> list[Cause]:
    name, kind, group = subject.get("name", ""), subject.get("kind", ""), subject.get("apiGroup", "")
    found = [] if name else [causes.required(f"{path}.name")]
    if kind == "ServiceAccount":
        found += causes.each(f"{path}.name", name, names.dns1123_subdomain(name) if name else ())
        if group:
            found.append(causes.not_supported(f"{path}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            found.append(causes.required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != _GROUP:
            found.append(causes.not_supported(f"{path}.apiGroup", group, [_GROUP]))
    else:
        found.append(causes.not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
    return found
