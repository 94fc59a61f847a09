"""Nobody grants what he has not: the check before a role or a binding is written.

A refusal names the permissions that are missing. Members of `system:masters`, and who has the verb `escalate` on the
role or `bind` on the role that is bound, may write what they like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.local.apiserver.access.identity import MASTERS, Attributes, User
from events.local.apiserver.access.rbac import rules
from events.local.apiserver.access.rbac.index import GROUP, Index
from events.local.apiserver.access.rbac.rules import ALL, Rule
from events.local.apiserver.access.refusals import forbidden_because, not_found
from events.local.apiserver.status import StatusError

Object = Mapping[str, Any]

_EVERYTHING = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), paths=(ALL,)))
_AGGREGATES = "must have cluster-admin privileges to use the aggregationRule"
_COLLECTING = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
"""Who may only take part in garbage collection may change these."""


def check(index: Index, user: User, wanted: Attributes, new: Object, old: Object | None = None) -> None:
    """Refuse (StatusError 403) a role or binding that gives more than the writer has.

    `wanted` is the request, `new` the object as it would be stored; a binding to a role that is not there is 404.
    """
    if wanted.group != GROUP or wanted.subresource or MASTERS in user.groups:
        return
    if old is not None and _without_collecting(old) == _without_collecting(new):
        return
    if wanted.resource in ("roles", "clusterroles"):
        _check_role(index, user, wanted, new, old)
    elif wanted.resource in ("rolebindings", "clusterrolebindings"):
        _check_binding(index, user, wanted, new)


def _check_role(index: Index, user: User, wanted: Attributes, new: Object, old: Object | None) -> None:
    escalate = Attributes("escalate", GROUP, ALL, wanted.resource, "", wanted.namespace, wanted.name)
    if index.authorize(user, escalate).allowed:
        return
    if refused := _lacking(index, user, wanted, new, rules.read(new.get("rules"))):
        raise refused
    if (_aggregates(new) or _aggregates(old)) and _lacking(index, user, wanted, new, _EVERYTHING):
        raise _refusal(wanted, new, _AGGREGATES)


def _check_binding(index: Index, user: User, wanted: Attributes, new: Object) -> None:
    role = new["roleRef"]
    resource = {"Role": "roles", "ClusterRole": "clusterroles"}.get(role["kind"], "")
    bind = Attributes("bind", role.get("apiGroup", GROUP), ALL, resource, "", wanted.namespace, role["name"])
    if resource and index.authorize(user, bind).allowed:
        return
    granted = index.rules_of(role["kind"], role["name"], wanted.namespace)
    if granted is None:
        raise not_found(GROUP, wanted.resource, role["name"])
    if refused := _lacking(index, user, wanted, new, granted):
        raise refused


def _lacking(index: Index, user: User, wanted: Attributes, new: Object, granted: Iterable[Rule]) -> StatusError | None:
    grants = index.grants(user, wanted.namespace)
    missing = rules.missing(grants.rules, granted)
    if not missing:
        return None
    shown = "\n".join(sorted({str(rule) for rule in rules.compact(missing)}))
    who = f'user "{user.name}" (groups={rules.listed(user.groups)})'
    message = f"{who} is attempting to grant RBAC permissions not currently held:\n{shown}"
    if grants.problems:
        message += f"; resolution errors: [{grants.problem}]"
    return _refusal(wanted, new, message)


def _refusal(wanted: Attributes, new: Object, message: str) -> StatusError:
    return forbidden_because(GROUP, wanted.resource, new["metadata"].get("name", ""), message)


def _aggregates(role: Object | None) -> bool:
    return bool(role and (role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _without_collecting(it: Object) -> dict[str, Any]:
    metadata = {key: value for key, value in it["metadata"].items() if key not in _COLLECTING}
    return {**it, "metadata": metadata}
