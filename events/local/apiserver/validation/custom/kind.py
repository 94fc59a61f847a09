"""A served version of a custom resource: its objects read, defaulted and judged; conversion None."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events.local.apiserver import names
from events.local.apiserver.validation import causes, decoded, decoding, metadata
from events.local.apiserver.validation.causes import Cause
from events.local.apiserver.validation.custom import cel_rules, scale, structural, values

Object = dict[str, Any]
Node = Mapping[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
_NOT_CHECKED = causes.invalid(
    "",
    None,
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)


class CustomKind:
    """One version of a CustomResourceDefinition. Schemas are compiled at their first use."""

    def __init__(self, definition: Mapping[str, Any], version: str, decoders: decoding.Decoders) -> None:
        spec = definition["spec"]
        served = next(one for one in spec["versions"] if one["name"] == version)
        self.group: str = spec["group"]
        self.version = version
        self.kind: str = spec["names"]["kind"]
        self.namespaced: bool = spec["scope"] == "Namespaced"
        self.node: Node = (served.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
        self._scale: Node | None = (served.get("subresources") or {}).get("scale")
        self._meta = decoders.of(_META)
        self._checker = values.checker(self.node)
        self._status = values.checker((self.node.get("properties") or {}).get("status") or {})
        self._rules = cel_rules.Rules(self.node)

    def decode(self, value: Object, *, defaulting: bool = True) -> decoded.Decoded:
        """The object without unknown fields, nulls dropped, defaults filled in."""
        it = decoding.plain(value)
        unknown: list[str] = []
        if it.get("metadata") is not None:
            found = decoding.Findings(defaulting=False)
            it["metadata"] = self._meta(it["metadata"], None, found)
            unknown = [f"metadata.{path}" for path in found.unknown]
        unknown += structural.pruned_in_place(it, self.node, root=True, meta=self._embedded)
        if defaulting:
            self.default_in_place(it)
        return decoded.Decoded(it, sorted(unknown))

    def default_in_place(self, it: Object) -> None:
        """What reading does, for an object that was stored under an older schema too."""
        meta = it.pop("metadata", None)
        structural.defaulted_in_place(it, self.node)
        if meta is not None:
            it["metadata"] = meta

    def converted(self, it: Object) -> Object:
        """An object of another version in this one: what this version does not have is left out."""
        if it.get("apiVersion") == f"{self.group}/{self.version}":
            return it
        result = {**decoding.plain(it), "apiVersion": f"{self.group}/{self.version}"}
        structural.pruned_in_place(result, self.node, root=True)
        return result

    def _embedded(self, value: Any, path: str) -> tuple[Any, list[str]]:
        found = decoding.Findings(defaulting=False)
        try:
            return self._meta(value, None, found), [f"{path}.{name}" for name in found.unknown]
        except decoding.DecodeError:
            return value, []

    def created(self, it: Object) -> list[Cause]:
        if found := self._type(it):
            return found
        found = metadata.created(
            it.get("metadata") or {}, names.dns1123_subdomain, namespaced=self.namespaced, core=False
        )
        found += self._checker.check(it) + scale.check(it, self._scale)
        found += _embedded(it, self.node) + structural.duplicates(it, self.node)
        return found + self._by_rules(found, it, cel_rules.MISSING)

    def updated(self, it: Object, old: Object, subresource: str = "") -> list[Cause]:
        if found := self._type(it):
            return found
        meta, before = it.get("metadata") or {}, old.get("metadata") or {}
        # Once by what every kind has in common, and once by the kind itself: a real server says it twice.
        found = metadata.updated(meta, before, core=False) * 2
        if subresource == "status":
            if "status" in it:
                found += self._status.check(it["status"], "", "status", old.get("status", values.MISSING))
        else:
            found += self._checker.check(it, old=old)
        found += scale.check(it, self._scale) + _embedded(it, self.node)
        if not structural.duplicates(old, self.node):
            found += structural.duplicates(it, self.node)
        return found + self._by_rules(found, it, old)

    def _by_rules(self, found: list[Cause], it: Object, old: Any) -> list[Cause]:
        if not self._rules:
            return []
        if any(cause["reason"] in _BLOCKING for cause in found):
            return [_NOT_CHECKED]
        return self._rules.check(it, old)

    def _type(self, it: Object) -> list[Cause]:
        found: list[Cause] = []
        if it.get("kind") != self.kind:
            found.append(causes.invalid("kind", it.get("kind", ""), f"must be {self.kind}"))
        version = f"{self.group}/{self.version}"
        if it.get("apiVersion") != version:
            found.append(causes.invalid("apiVersion", it.get("apiVersion", ""), f"must be {version}"))
        return found

    def warnings(self, it: Object, old: Object | None) -> list[str]:
        meta = it.get("metadata") or {}
        before = ((old or {}).get("metadata") or {}).get("finalizers") or ()
        says = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with"
        says = f"{says} other finalizer writers"
        added = sorted(set(meta.get("finalizers") or ()) - set(before))
        plain = [name for name in added if "/" not in name and name not in metadata.STANDARD_FINALIZERS]
        return metadata.duplicate_owners(meta) + [f'metadata.finalizers: "{name}": {says}' for name in plain]


def _embedded(value: Any, node: Node | None, path: str = "") -> list[Cause]:
    """Embedded resources have an apiVersion, a kind and sound metadata."""
    found: list[Cause] = []
    if node is None or not structural.has_inside(node):
        return found
    if isinstance(value, dict):
        if node.get(structural.EMBEDDED):
            found += _resource(value, path)
        properties, rest = node.get("properties") or {}, structural.values_node(node)
        for key, item in value.items():
            if isinstance(item, dict | list):
                child = properties.get(key, rest)
                where = f"{path}.{key}" if path else key
                found += _embedded(item, child, where if key in properties else f"{path}[{key}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += _embedded(item, structural.item_node(node), f"{path}[{index}]")
    return found


def _resource(value: Object, path: str) -> list[Cause]:
    found = [causes.required(f"{path}.{key}") for key in ("apiVersion", "kind") if key not in value]
    if "apiVersion" in value:
        version = value["apiVersion"]
        if not version:
            found.append(causes.invalid(f"{path}.apiVersion", version, "must not be empty"))
        elif version.count("/") > 1:
            says = f"unexpected GroupVersion string: {version}"
            found.append(causes.invalid(f"{path}.apiVersion", version, says))
    if "kind" in value:
        kind = value["kind"]
        if not kind:
            found.append(causes.invalid(f"{path}.kind", kind, "must not be empty"))
        elif wrong := names.dns1035_label(kind.lower()):
            says = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
            found.append(causes.invalid(f"{path}.kind", kind, says))
    meta = value.get("metadata")
    if isinstance(meta, dict):
        named = {"name": "fakename", **meta}
        wrong_meta = metadata.created(named, names.path_segment, namespaced=bool(meta.get("namespace")), core=False)
        found += [{**cause, "field": f"{path}.{cause['field']}"} for cause in wrong_meta]
    return found
