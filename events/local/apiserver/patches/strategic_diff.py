"""Making strategic merge patches: from one document to another, and the three-way patch of `kubectl apply`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import yaml

from events.local.apiserver.managed.values import go_text, same
from events.local.apiserver.patches import directives
from events.local.apiserver.patches.directives import DELETE, DELETE_FROM, PATCH, RETAIN_KEYS, SET_ORDER
from events.local.apiserver.patches.fields import Resolve, Schema, UnknownField
from events.local.apiserver.status import StatusError

Object = dict[str, Any]


@dataclass(frozen=True)
class _Options:
    additions: bool = True
    deletions: bool = True
    order: bool = True
    retain_keys: bool = False


def two_way(original: Object, modified: Object, node: Any, resolve: Resolve) -> Object:
    """The patch that makes `modified` of `original`."""
    return _checked(lambda: _diff_maps(original, modified, Schema(node, resolve), _Options()))


def three_way(
    original: Object, modified: Object, current: Object, node: Any, resolve: Resolve, *, overwrite: bool = True
) -> Object:
    """The patch for `current` after the configuration went from `original` to `modified`; what others added stays.

    Without `overwrite`, raises StatusError 409 when somebody else changed what the patch would change.
    """
    schema = Schema(node, resolve)

    def made() -> Object:
        wanted = _diff_maps(current, modified, schema, _Options(deletions=False))
        gone = _diff_maps(original, modified, schema, _Options(additions=False))
        patch = _merge_patches(gone, wanted, schema)
        if not overwrite:
            changed = _diff_maps(original, current, schema, _Options(order=False))
            if _maps_conflict(patch, changed, schema):
                raise _conflict(patch, changed)
        return patch

    return _checked(made)


def _checked(make: Any) -> Object:
    try:
        found: Object = make()
    except UnknownField as error:
        raise directives.refused(str(error)) from error
    return found


class _Quoting(yaml.SafeDumper):
    """YAML with double quotes where quotes are needed."""


def _text(dumper: _Quoting, text: str) -> yaml.ScalarNode:
    is_plain = dumper.resolve(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str"  # type: ignore[no-untyped-call]  # its stubs have none
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Quoting.add_representer(str, _text)


def _conflict(patch: Object, changed: Object) -> StatusError:
    texts = [yaml.dump(one, Dumper=_Quoting) for one in (patch, changed)]
    text = f"patch:\n{texts[0]}\nconflicts with changes made from original to current:\n{texts[1]}\n"
    return StatusError(409, "Conflict", text)


def _diff_maps(original: Object, modified: Object, schema: Schema, options: _Options) -> Object:
    patch: Object = {}
    for key, value in modified.items():
        if key not in original or directives.type_name(original[key]) != directives.type_name(value):
            if options.additions:
                patch[key] = value
        elif key == PATCH:
            if original[key] != value:
                patch[key] = value
        elif isinstance(value, dict):
            _diff_map(key, original[key], value, patch, schema, options)
        elif isinstance(value, list):
            _diff_list(key, original[key], value, patch, schema, options)
        elif options.additions and not same(original[key], value):
            patch[key] = value
    if options.deletions:
        patch |= {key: None for key in original if key not in modified}
    retained = sorted((key for key, value in modified.items() if value is not None)) if options.retain_keys else []
    if retained and (patch or any(key not in modified for key in original)):
        patch[RETAIN_KEYS] = retained
    return patch


def _diff_map(key: str, before: Object, after: Object, patch: Object, schema: Schema, options: _Options) -> None:
    if same(before, after):
        return
    field = schema.field(key)
    if field.replaces:
        if options.additions:
            patch[key] = after
        return
    below = _diff_maps(before, after, field.schema, replace(options, retain_keys=field.retains_keys))
    if below:
        patch[key] = below


def _diff_list(key: str, before: list[Any], after: list[Any], patch: Object, schema: Schema, options: _Options) -> None:
    if same(before, after):
        return
    field = schema.field(key)
    if not field.merges:
        if options.additions:
            patch[key] = after
        return
    if not before:
        if after and options.additions:
            patch[key] = after
        return
    options = replace(options, retain_keys=field.retains_keys)
    if directives.element_type(before, after) == directives.type_name({}):
        changes = _diff_objects(before, after, field.schema, field.key, options)
        is_reordered = [directives.identity(item, field.key) for item in before] != [
            directives.identity(item, field.key) for item in after
        ]
        if changes:
            patch[key] = changes
        if after and options.order and ((options.additions and is_reordered) or changes):
            patch[f"{SET_ORDER}/{key}"] = [{field.key: item[field.key]} for item in after]
        return
    added, gone = _diff_scalars(before, after, options)
    if added:
        patch[key] = added
    if gone:
        patch[f"{DELETE_FROM}/{key}"] = gone
    if after and options.order and (gone or options.additions):
        patch[f"{SET_ORDER}/{key}"] = after


def _diff_objects(before: list[Any], after: list[Any], schema: Schema, key: str, options: _Options) -> list[Any]:
    old = {directives.identity(item, key): item for item in reversed(before)}
    new = directives.places(after, key)
    changes = []
    for item in after:
        known = old.get(directives.identity(item, key))
        if known is None:
            if options.additions:
                changes.append(item)
            continue
        below = _diff_maps(known, item, schema, options)
        if below:
            changes.append({**below, key: item[key]})
    if options.deletions:
        gone = (item for name, item in sorted(old.items(), key=lambda one: go_text(one[1][key])) if name not in new)
        changes += [{PATCH: DELETE, key: item[key]} for item in gone]
    return changes


def _diff_scalars(before: list[Any], after: list[Any], options: _Options) -> tuple[list[Any], list[Any]]:
    old, new = directives.places(before, ""), directives.places(after, "")
    added = [item for item in after if directives.identity(item, "") not in old] if options.additions else []
    gone = {name: item for item in before if (name := directives.identity(item, "")) not in new}
    return added, sorted(gone.values(), key=go_text) if options.deletions else []


def _merge_patches(gone: Object, wanted: Object, schema: Schema) -> Object:
    """Both patches in one: directives are kept, not carried out."""
    result = dict(gone)
    for key, value in wanted.items():
        before = result.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            result[key] = _merge_patches(before, value, schema.field(key).schema)
        elif isinstance(before, list) and isinstance(value, list) and not key.startswith("$"):
            result[key] = _merge_patch_lists(key, before, value, result, wanted, schema)
        else:
            result[key] = value
    return result


def _merge_patch_lists(
    key: str, gone: list[Any], wanted: list[Any], result: Object, other: Object, schema: Schema
) -> list[Any]:
    field = schema.field(key)
    if not field.merges:
        return wanted
    place = directives.places(gone, field.key)
    merged = list(gone)
    for item in wanted:
        name = directives.identity(item, field.key)
        if name not in place:
            merged.append(item)
        elif field.key and not directives.is_deletion(merged[place[name]]):
            merged[place[name]] = _merge_patches(merged[place[name]], item, field.schema)
        else:
            merged[place[name]] = item
    order = other.get(f"{SET_ORDER}/{key}") or result.get(f"{SET_ORDER}/{key}") or []
    return directives.in_order_of(merged, order, field.key)


def _conflicts(one: Any, other: Any, schema: Schema, key: str, *, merges: bool, replaces: bool = False) -> bool:
    if isinstance(one, dict):
        if not isinstance(other, dict) or one.get(PATCH) != other.get(PATCH):
            return True
        return not replaces and _maps_conflict(one, other, schema)
    if isinstance(one, list):
        return not isinstance(other, list) or _lists_conflict(one, other, schema, key, merges=merges)
    return not same(one, other)


def _maps_conflict(one: Object, other: Object, schema: Schema) -> bool:
    """Whether two patches set a field to different values."""
    for key in one:
        if key in (PATCH, RETAIN_KEYS) or key not in other or key.startswith((SET_ORDER, DELETE_FROM)):
            continue
        field = schema.field(key)
        if _conflicts(one[key], other[key], field.schema, field.key, merges=field.merges, replaces=field.replaces):
            return True
    return False


def _lists_conflict(one: list[Any], other: list[Any], schema: Schema, key: str, *, merges: bool) -> bool:
    kind = directives.element_type(one, other)
    if merges:
        if kind != directives.type_name({}):
            return False
        theirs = {directives.identity(item, key): item for item in other}
        return any(
            _conflicts(item, theirs[name], schema, "", merges=False)
            for item in one
            if (name := directives.identity(item, key)) in theirs
        )
    if kind != directives.type_name({}):
        one, other = sorted(one, key=go_text), sorted(other, key=go_text)
    return len(one) != len(other) or not all(map(same, one, other))
