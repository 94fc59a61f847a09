"""Rules of a CustomResourceDefinition: names, versions, schemas, subresources, columns, conversion.

The objects are decoded and defaulted ones. A real server looks at its internal form, in which what all versions share
stands once, at the top of `spec`; that is where its errors point, so the same is done here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from events.local.apiserver import names
from events.local.apiserver.validation import causes, metadata, urls
from events.local.apiserver.validation.causes import Cause
from events.local.apiserver.validation.custom import cel_rules, schema_rules, structural, values

Object = Mapping[str, Any]

APPROVAL = "api-approved.kubernetes.io"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SHARED = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
_MOST_SELECTABLE = 8
_MOST_WARNING = 256
_STORED = (
    "missing from spec.versions; {0} was previously a storage version, and must remain in spec.versions until a "
    "storage migration ensures no data remains persisted in {0} and removes {0} from status.storedVersions"
)


def created(it: Object) -> list[Cause]:
    """What is wrong with a new definition."""
    spec = it["spec"]

    def rule(name: str) -> list[str]:
        found = names.dns1123_subdomain(name)
        if name != f"{spec['names'].get('plural', '')}.{spec.get('group', '')}":
            found.append('must be spec.names.plural+"."+spec.group')
        return found

    found = metadata.created(it["metadata"], rule, namespaced=False, core=False)
    return found + _spec(spec) + _status(it) + _approval(it, None) + _preserved(spec, None)


def updated(it: Object, old: Object) -> list[Cause]:
    """What is wrong with a changed definition."""
    spec, before = it["spec"], old["spec"]
    found = metadata.updated(it["metadata"], old["metadata"], core=False) + _spec(spec, before)
    if _is_established(old):
        found += causes.immutable("spec.scope", spec.get("scope", ""), before.get("scope", ""))
        new_kind, old_kind = spec["names"].get("kind", ""), before["names"].get("kind", "")
        found += causes.immutable("spec.names.kind", new_kind, old_kind)
    found += causes.immutable("spec.group", spec.get("group", ""), before.get("group", ""))
    new_plural, old_plural = spec["names"].get("plural", ""), before["names"].get("plural", "")
    found += causes.immutable("spec.names.plural", new_plural, old_plural)
    return found + _status(it) + _approval(it, old) + _preserved(spec, before)


def status_updated(it: Object, old: Object) -> list[Cause]:
    """What is wrong with a changed status."""
    found = metadata.updated(it["metadata"], old["metadata"], core=False)
    return found + _names((it.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames")


def _is_established(it: Object) -> bool:
    conditions = (it.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)


def _status(it: Object) -> list[Cause]:
    status, spec = it.get("status") or {}, it["spec"]
    found = _names(status.get("acceptedNames") or {}, "status.acceptedNames")
    stored, path = status.get("storedVersions"), "status.storedVersions"
    if not stored:
        return [*found, causes.invalid(path, stored or None, "must have at least one stored version")]
    versions = {one.get("name", ""): one for one in spec.get("versions") or ()}
    for name, one in versions.items():
        if one.get("storage") and name not in stored:
            found.append(causes.invalid(path, stored, f"must have the storage version {name}"))
    for index, name in enumerate(stored):
        if name not in versions:
            found.append(causes.invalid(f"{path}[{index}]", name, _STORED.format(name)))
    return found


def shared(spec: Object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all versions have in common, by its internal name, and the versions without it."""
    versions = [dict(one) for one in spec.get("versions") or ()]
    common: dict[str, Any] = {}
    for key, name in _SHARED.items():
        if versions and all(one.get(key) == versions[0].get(key) for one in versions):
            common[name] = versions[0].get(key)
            for one in versions:
                one.pop(key, None)
    return common, versions


def _spec(spec: Object, before: Object | None = None) -> list[Cause]:
    common, versions = shared(spec)
    found = _group(spec.get("group", ""))
    scope = spec.get("scope", "")
    if not scope:
        found.append(causes.required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        found.append(causes.not_supported("spec.scope", scope, ("Cluster", "Namespaced")))
    if not (common.get("validation") or {}).get("openAPIV3Schema"):
        for index, one in enumerate(versions):
            if not (one.get("schema") or {}).get("openAPIV3Schema"):
                found.append(causes.required(f"spec.versions[{index}].schema.openAPIV3Schema"))
    for index, one in enumerate(versions):
        here = f"spec.versions[{index}]"
        if wrong := names.dns1035_label(one.get("name", "")):
            found.append(causes.invalid(f"{here}.name", one.get("name", ""), ",".join(wrong)))
        found += _version(one, here, common, before)
    found += _versions(versions)
    if versions and (wrong := names.dns1035_label(versions[0].get("name", ""))) and versions[0].get("name"):
        found.append(causes.invalid("spec.version", versions[0]["name"], ",".join(wrong)))
    given = spec["names"]
    found += [
        causes.required(f"spec.names.{key}") for key in ("plural", "singular", "kind", "listKind") if not given.get(key)
    ]
    found += _names(given, "spec.names")
    with_status = any(_has_status(one) for one in spec.get("versions") or ())
    found += _schema(common.get("validation"), "spec.validation", before, with_status=with_status)
    found += _subresources(common.get("subresources"), "spec.subresources")
    found += _columns(common.get("additionalPrinterColumns"), "spec.additionalPrinterColumns")
    schema = (common.get("validation") or {}).get("openAPIV3Schema")
    found += _selectable(common.get("selectableFields"), schema, "spec.selectableFields")
    return found + _conversion(spec.get("conversion"))


def _group(group: str) -> list[Cause]:
    if not group:
        return [causes.required("spec.group")]
    if wrong := names.dns1123_subdomain(group):
        return [causes.invalid("spec.group", group, ",".join(wrong))]
    return [] if "." in group else [causes.invalid("spec.group", group, "should be a domain with at least one dot")]


def _version(one: Object, path: str, common: Object, before: Object | None) -> list[Cause]:
    found: list[Cause] = []
    warning = one.get("deprecationWarning")
    for says in _warning(warning, deprecated=bool(one.get("deprecated"))):
        found.append(causes.invalid(f"{path}.deprecationWarning", warning, says))
    with_status = _has_status({**common, **one})
    found += _schema(one.get("schema"), f"{path}.schema", before, with_status=with_status)
    found += _subresources(one.get("subresources"), f"{path}.subresources")
    found += _columns(one.get("additionalPrinterColumns"), f"{path}.additionalPrinterColumns")
    schema = (one.get("schema") or {}).get("openAPIV3Schema")
    return found + _selectable(one.get("selectableFields"), schema, f"{path}.selectableFields")


def _has_status(one: Object) -> bool:
    return (one.get("subresources") or {}).get("status") is not None


def _warning(warning: str | None, *, deprecated: bool) -> list[str]:
    if warning is None:
        return []
    if not deprecated:
        return ["can only be set for deprecated versions"]
    found = []
    if len(warning.encode()) > _MOST_WARNING:
        found.append(f"must be <= {_MOST_WARNING} characters long")
    if not warning:
        found.append("must not be an empty string")
    for index, character in enumerate(warning):
        if not character.isprintable():
            says = "must only contain printable UTF-8 characters; non-printable character found at index"
            found.append(f"{says} {index}")
            break
    return found


def _versions(versions: Sequence[Object]) -> list[Cause]:
    named = [one.get("name", "") for one in versions]
    wrong = []
    if len(set(named)) != len(named):
        wrong.append("must contain unique version names")
    if sum(bool(one.get("storage")) for one in versions) != 1:
        wrong.append("must have exactly one version marked as storage version")
    return [causes.invalid("spec.versions", [_shown(one) for one in versions], says) for says in wrong]


def _shown(one: Object) -> dict[str, Any]:
    """A version as the server's internal form has it."""
    keys = {
        "Name": "name",
        "Served": "served",
        "Storage": "storage",
        "Deprecated": "deprecated",
        "DeprecationWarning": "deprecationWarning",
        "Schema": "schema",
        "Subresources": "subresources",
        "AdditionalPrinterColumns": "additionalPrinterColumns",
        "SelectableFields": "selectableFields",
    }
    return {name: one.get(key, False if name == "Deprecated" else None) for name, key in keys.items()}


def _names(given: Object, path: str) -> list[Cause]:
    found: list[Cause] = []
    mixed = "may have mixed case, but should otherwise match: "
    for key in ("plural", "singular"):
        if (name := given.get(key)) and (wrong := names.dns1035_label(name)):
            found.append(causes.invalid(f"{path}.{key}", name, ",".join(wrong)))
    for key in ("kind", "listKind"):
        if (name := given.get(key)) and (wrong := names.dns1035_label(name.lower())):
            found.append(causes.invalid(f"{path}.{key}", name, mixed + ",".join(wrong)))
    for index, name in enumerate(given.get("shortNames") or ()):
        if wrong := names.dns1035_label(name):
            found.append(causes.invalid(f"{path}.shortNames[{index}]", name, ",".join(wrong)))
    if given.get("kind") and given["kind"] == given.get("listKind"):
        found.append(causes.invalid(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same"))
    for index, name in enumerate(given.get("categories") or ()):
        if wrong := names.dns1035_label(name):
            found.append(causes.invalid(f"{path}.categories[{index}]", name, ",".join(wrong)))
    return found


_AT_ROOT_SHOWN = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations"
)
_EXTENSIONS = {"XPreserveUnknownFields": structural.PRESERVE, "XValidations": schema_rules.RULES}
_AT_ROOT = frozenset(_EXTENSIONS.get(name, name[0].lower() + name[1:]) for name in _AT_ROOT_SHOWN.split())


def _schema(validation: Object | None, path: str, before: Object | None, *, with_status: bool) -> list[Cause]:
    node = (validation or {}).get("openAPIV3Schema")
    if not node:
        return []
    path = f"{path}.openAPIV3Schema"
    found: list[Cause] = []
    if with_status:
        found += _root_with_status(node, path)
    if node.get("nullable"):
        found.append(causes.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    wrong = schema_rules.structural(node, path) or _defaults(node, path, root=True)
    found += wrong
    rest = schema_rules.allowed(node, path)
    found += rest
    if not wrong and not rest:
        found += cel_rules.check(node, path, known=cel_rules.expressions(before))
    return found


def _root_with_status(node: Object, path: str) -> list[Cause]:
    """A status that is apart leaves little room at the root."""
    ending = "at the root of the schema if the status subresource is enabled"
    kind = node.get("type", "")
    if kind and kind != "object":
        says = f'only "object" is allowed as the type {ending}'
        return [causes.invalid(f"{path}.type", kind, says)]
    if set(node) <= _AT_ROOT:
        return []
    return [causes.invalid(path, node, f"only [{_AT_ROOT_SHOWN}] fields are allowed {ending}")]


def _defaults(node: Object, path: str, *, root: bool = False) -> list[Cause]:
    found: list[Cause] = []
    default = node.get("default")
    if default is not None:
        pruned = copy.deepcopy(default)
        structural.pruned_in_place(pruned, node, root=bool(node.get(structural.EMBEDDED)))
        if pruned != default:
            found.append(causes.invalid(f"{path}.default", default, "must not have unknown fields"))
        found += values.checker(node).check(default, "", f"{path}.default")
    if isinstance(node.get("items"), dict):
        found += _defaults(node["items"], f"{path}.items")
    for name, child in (node.get("properties") or {}).items():
        if not (root and name in structural.META):
            found += _defaults(child, f"{path}.properties[{name}]")
    return found


def _subresources(given: Object | None, path: str) -> list[Cause]:
    scale = (given or {}).get("scale")
    if scale is None:
        return []
    found: list[Cause] = []
    for key, under in (("specReplicasPath", (".spec",)), ("statusReplicasPath", (".status",))):
        here = f"{path}.scale.{key}"
        found += _under(here, scale[key], under) if scale.get(key) else [causes.required(here)]
    if label := scale.get("labelSelectorPath"):
        found += _under(f"{path}.scale.labelSelectorPath", label, (".spec", ".status"))
    return found


def _under(path: str, value: str, prefixes: tuple[str, ...]) -> list[Cause]:
    if not value.startswith("."):
        return [causes.invalid(path, value, "must be a simple json path starting with .")]
    if not value.startswith(tuple(f"{prefix}." for prefix in prefixes)):
        where = prefixes[0] if len(prefixes) == 1 else f"either {' or '.join(prefixes)}"
        return [causes.invalid(path, value, f"should be a json path under {where}")]
    return []


def _columns(columns: Sequence[Object] | None, path: str) -> list[Cause]:
    found: list[Cause] = []
    for index, column in enumerate(columns or ()):
        here, says = f"{path}[{index}]", f"must be one of {','.join(_COLUMN_TYPES)}"
        if not column.get("name"):
            found.append(causes.required(f"{here}.name"))
        kind, form, where = column.get("type", ""), column.get("format", ""), column.get("jsonPath", "")
        if not kind:
            found.append(causes.required(f"{here}.type", says))
        elif kind not in _COLUMN_TYPES:
            found.append(causes.invalid(f"{here}.type", kind, says))
        if form and form not in _COLUMN_FORMATS:
            found.append(causes.invalid(f"{here}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
        if not where:
            found.append(causes.required(f"{here}.JSONPath"))
        elif not where.startswith("."):
            found.append(causes.invalid(f"{here}.JSONPath", where, "must be a simple json path starting with ."))
    return found


def _selectable(fields: Sequence[Object] | None, schema: Object | None, path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for index, one in enumerate(fields or ()):
        here, where = f"{path}[{index}].jsonPath", one.get("jsonPath", "")
        if not where:
            found.append(causes.required(here))
            continue
        node = _at(schema or {}, where)
        if node is None:
            says = "is an invalid path: does not refer to a valid field"
            found.append(causes.invalid(here, where, says))
            continue
        if where.startswith(".metadata"):
            found.append(causes.invalid(here, where, "must not point to fields in metadata"))
        if node.get("type") not in ("string", "boolean", "integer"):
            says = (
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed."
            )
            found.append(causes.invalid(here, where, says))
        if where in seen:
            found.append(causes.duplicate(here, where))
        seen.add(where)
    if len(seen) > _MOST_SELECTABLE:
        found.append(causes.too_many(path, len(seen), _MOST_SELECTABLE))
    return found


def _at(schema: Object, where: str) -> Object | None:
    """The schema at a simple path, such as `.spec.size`."""
    node: Object | None = schema
    for step in re.findall(r"\.([^.\[\]]+)", where):
        node = ((node or {}).get("properties") or {}).get(step)
        if node is None:
            return None
    return node if where.startswith(".") else None


def _conversion(conversion: Object | None) -> list[Cause]:
    if conversion is None:
        return []
    strategy, path = conversion.get("strategy", ""), "spec.conversion"
    webhook = conversion.get("webhook")
    client, reviewed = (webhook or {}).get("clientConfig"), (webhook or {}).get("conversionReviewVersions") or []
    found: list[Cause] = []
    if not strategy:
        found.append(causes.required(f"{path}.strategy"))
    elif strategy not in ("None", "Webhook"):
        found.append(causes.not_supported(f"{path}.strategy", strategy, ("None", "Webhook")))
    if strategy != "Webhook":
        says = "should not be set when strategy is not set to Webhook"
        if client is not None:
            found.append(causes.forbidden(f"{path}.webhookClientConfig", says))
        if reviewed:
            found.append(causes.forbidden(f"{path}.conversionReviewVersions", says))
        return found
    here = f"{path}.webhookClientConfig"
    if client is None:
        found.append(causes.required(here, "required when strategy is set to Webhook"))
    else:
        found += urls.client(client, here)
    return found + urls.review_versions(reviewed, f"{path}.conversionReviewVersions", ("v1", "v1beta1"))


def _approval(it: Object, old: Object | None) -> list[Cause]:
    group = it["spec"].get("group", "")
    if not (group.endswith((".k8s.io", ".kubernetes.io")) or group in ("k8s.io", "kubernetes.io")):
        return []
    state, says = _approved(it)
    if state in ("approved", "bypassed") or (old is not None and _approved(old)[0] == state):
        return []
    path = f"metadata.annotations[{APPROVAL}]"
    if state == "missing":
        return [causes.required(path, says)]
    return [causes.invalid(path, (it["metadata"].get("annotations") or {})[APPROVAL], says)]


def _approved(it: Object) -> tuple[str, str]:
    value = (it["metadata"].get("annotations") or {}).get(APPROVAL, "")
    see = "https://github.com/kubernetes/enhancements/pull/1111"
    if not value:
        return "missing", f'protected groups must have approval annotation "{APPROVAL}", see {see}'
    if value.startswith("unapproved"):
        return "bypassed", ""
    if re.match(r"[a-z]+://[^/\s]+", value):
        return "approved", ""
    says = f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason starting with'
    says = f'{says} "unapproved", see {see}'
    return "invalid", says


def _preserved(spec: Object, before: Object | None) -> list[Cause]:
    if not spec.get("preserveUnknownFields") or (before or {}).get("preserveUnknownFields"):
        return []
    says = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    return [causes.invalid("spec.preserveUnknownFields", spec["preserveUnknownFields"], says)]
