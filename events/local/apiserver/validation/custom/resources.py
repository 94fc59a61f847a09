"""What an established definition serves: one resource for each served version, the preferred version first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from events.local.apiserver.validation.custom import accepting

Object = Mapping[str, Any]

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {None: 2, "beta": 1, "alpha": 0}


@dataclass(frozen=True)
class CustomResource:
    """One served version; names are those that were accepted."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    namespaced: bool
    is_stored: bool
    has_status: bool
    scale: Object | None
    """Paths of the scale subresource."""
    columns: tuple[Object, ...]
    """Printer columns as the definition has them; when it has none, the age is shown."""
    selectable: tuple[str, ...]
    """Paths that a field selector may name, such as `.spec.size`."""
    deprecation: str | None
    """The warning of each answer, for a deprecated version."""


def served(it: Object) -> list[CustomResource]:
    """The resources of a definition; none while its names are not accepted."""
    if not accepting.is_served(it):
        return []
    versions = [one for one in it["spec"].get("versions") or () if one.get("served")]
    return [_resource(it, one) for one in sorted(versions, key=lambda one: priority(one["name"]), reverse=True)]


def stored_version(it: Object) -> str:
    """The version in which objects are stored."""
    return next(str(one["name"]) for one in it["spec"]["versions"] if one.get("storage"))


def priority(version: str) -> tuple[int, int, int, tuple[int, ...]]:
    """The order of versions: `v2`, `v1`, `v1beta2`, `v1beta1`, `v1alpha1`, then others by name."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (-1, 0, 0, tuple(-ord(character) for character in version))
    return (_STAGES[found[2]], int(found[1]), int(found[3] or 0), ())


def _resource(it: Object, version: Object) -> CustomResource:
    spec, names = it["spec"], it["status"]["acceptedNames"]
    group, kind = spec["group"], names["kind"]
    subresources = version.get("subresources") or {}
    warning = None
    if version.get("deprecated"):
        warning = version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated"
    return CustomResource(
        group=group,
        version=version["name"],
        plural=names["plural"],
        singular=names.get("singular", ""),
        kind=kind,
        list_kind=names.get("listKind") or f"{kind}List",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec.get("scope") == "Namespaced",
        is_stored=bool(version.get("storage")),
        has_status=subresources.get("status") is not None,
        scale=subresources.get("scale"),
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        selectable=tuple(one["jsonPath"] for one in version.get("selectableFields") or ()),
        deprecation=warning,
    )
