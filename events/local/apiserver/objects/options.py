"""Who writes, and how: the options of a request's query, checked as a real server checks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from events.local.apiserver.access.identity import User
from events.local.apiserver.managed import tracking
from events.local.apiserver.objects import errors
from events.local.apiserver.resources import Resource
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
MOST_MANAGER = 128


@dataclass
class Options:
    """Of a create, an update or a patch. `warnings` fills up; `kind` is `CreateOptions` and so on."""

    kind: str
    user: User
    manager: str
    now: datetime
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)
    field_manager: str = ""
    is_validation_said: bool = False

    def writer(self, resource: Resource, subresource: str = "") -> tracking.Writer:
        """As field management wants to know it."""
        return tracking.Writer(self.manager, resource.api_version, self.now, subresource, resource.reset(subresource))

    def told(self, operation: str) -> dict[str, Any]:
        """As webhooks are told: a patch is a create or an update to them."""
        kind = f"{operation.capitalize()}Options"
        found: dict[str, Any] = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
        if self.dry_run:
            found["dryRun"] = ["All"]
        if self.force:
            found["force"] = True
        if self.field_manager:
            found["fieldManager"] = self.field_manager
        if self.is_validation_said:
            found["fieldValidation"] = self.validation
        return found


def truth(value: str | None) -> bool:
    """A truth of a query as Go reads it; `?watch` alone says yes."""
    return value is not None and value.lower() not in ("0", "f", "false")


def parse(
    kind: str, query: Mapping[str, Sequence[str]], user: User, agent: str, now: datetime, *, is_apply: bool = False
) -> Options:
    """Raises StatusError 422."""
    wrong: list[Cause] = []
    manager = _one(query, "fieldManager")
    if is_apply and not manager:
        wrong.append(causes.required("fieldManager", "is required for apply patch"))
    if kind == "PatchOptions" and not is_apply and "force" in query:
        wrong.append(causes.forbidden("force", "may not be specified for non-apply patch"))
    wrong += _wrong_manager(manager)
    dry_run = list(query.get("dryRun", ()))
    wrong += wrong_dry_run(dry_run)
    validation = _one(query, "fieldValidation")
    if validation not in _VALIDATIONS:
        wrong.append(causes.not_supported("fieldValidation", validation, _VALIDATIONS))
    if wrong:
        raise errors.invalid_options(kind, wrong)
    return Options(
        kind,
        user,
        manager or manager_of(agent),
        now,
        bool(dry_run),
        validation or "Warn",
        is_apply and truth(_one(query, "force") or None),
        field_manager=manager,
        is_validation_said=bool(validation),
    )


def manager_of(agent: str) -> str:
    """What stands for a manager: the first part of the User-Agent."""
    name = agent.split("/", 1)[0]
    encoded = "".join(sign for sign in name if sign.isprintable()).encode()[:MOST_MANAGER]
    return encoded.decode(errors="ignore") or "unknown"


def wrong_dry_run(given: Sequence[str]) -> list[Cause]:
    """`All`, or nothing."""
    if all(one == "All" for one in given):
        return []
    return [causes.not_supported("dryRun", list(given), ("All",))]


def _wrong_manager(manager: str) -> list[Cause]:
    if len(manager.encode()) > MOST_MANAGER:
        return [causes.too_long("fieldManager", MOST_MANAGER)]
    for index, sign in enumerate(manager):
        if not sign.isprintable():
            says = f"should only contain printable characters (invalid at index {index})"
            return [causes.invalid("fieldManager", manager, says)]
    return []


def _one(query: Mapping[str, Sequence[str]], key: str) -> str:
    found = query.get(key)
    return found[0] if found else ""
