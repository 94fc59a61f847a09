"""Strategic merge patch: a merge patch that knows from the schema which lists are keyed.

Merged here is one document; `strategic_diff` makes patches. Nothing that is given is changed.
"""

from __future__ import annotations

from typing import Any

from events.local.apiserver.managed.values import go_text
from events.local.apiserver.patches import directives, documents
from events.local.apiserver.patches.directives import DELETE, DELETE_FROM, MERGE, PATCH, REPLACE, RETAIN_KEYS, SET_ORDER
from events.local.apiserver.patches.fields import Field, Resolve, Schema, UnknownField
from events.local.apiserver.status import StatusError

Object = dict[str, Any]


def decode(body: bytes) -> tuple[Object, list[str]]:
    """The patch of a request, and warnings about fields that are there twice. Raises StatusError 400."""
    try:
        found, warnings = documents.decode(body)
    except StatusError as error:  # for this kind of patch without the introduction
        raise directives.refused(error.message.removeprefix("error decoding patch: ")) from error
    if found is None:
        return {}, warnings
    if not isinstance(found, dict):
        kind = documents.name_of(found)
        raise directives.refused(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    return found, warnings


def apply(document: Object, patch: Object, node: Any, resolve: Resolve) -> Object:
    """The patched document; `node` is the schema of its kind. Raises StatusError 400 or 422."""
    return merged(document, patch, Schema(node, resolve))


def merged(document: Object, patch: Object, schema: Schema) -> Object:
    """As `apply`, with a schema that is kept."""
    try:
        return _merge_maps(document, patch, schema)
    except UnknownField as error:
        raise directives.refused(str(error)) from error


def _merge_maps(original: Object, patch: Object, schema: Schema) -> Object:
    if PATCH in patch:
        return _directed(patch)
    result = _retained(original, patch)
    done = {RETAIN_KEYS}
    for key, order in patch.items():
        if key.startswith(SET_ORDER):
            name = directives.target(key, SET_ORDER, directives.BAD_ORDER_LIST)
            _merge_ordered(result, patch, name, order, schema)
            done |= {key, name}
    for key, value in patch.items():
        if key in done:
            continue
        if key.startswith(DELETE_FROM):
            name = directives.target(key, DELETE_FROM, directives.BAD_DELETE_LIST)
            _delete_scalars(result, name, value, schema)
        elif value is None:
            result.pop(key, None)
        else:
            _merge_field(result, key, value, schema)
    return result


def _directed(patch: Object) -> Object:
    directive = patch[PATCH]
    if directive == REPLACE:
        return {key: value for key, value in patch.items() if key != PATCH}
    if directive == DELETE:
        return {}
    raise directives.unknown_directive(directive, patch)


def _retained(original: Object, patch: Object) -> Object:
    """A copy of the original, with only the keys that `$retainKeys` names, if it is there."""
    if RETAIN_KEYS not in patch:
        return dict(original)
    keys = patch[RETAIN_KEYS]
    if not isinstance(keys, list):
        raise directives.refused(directives.BAD_RETAIN_KEYS)
    kept = {key for key in keys if isinstance(key, str)}
    for key, value in patch.items():
        is_special = key == RETAIN_KEYS or key.startswith((DELETE_FROM, SET_ORDER))
        if value is not None and not is_special and key not in kept:
            raise directives.refused(directives.BAD_RETAIN_KEYS)
    return {key: value for key, value in original.items() if key in kept}


def _merge_field(result: Object, key: str, value: Any, schema: Schema) -> None:
    before = result.get(key)
    if isinstance(before, dict) and isinstance(value, dict):
        field = schema.field(key)
        result[key] = value if field.replaces else _merge_maps(before, value, field.schema)
    elif isinstance(before, list) and isinstance(value, list):
        result[key] = _merge_lists(before, value, schema.field(key))
    else:
        kept, new = _without_directives(value)
        if kept:
            result[key] = new
        else:
            result.pop(key, None)


def _without_directives(value: Any) -> tuple[bool, Any]:
    """A value for a field that had none of this type: (whether there is one, what is left of it)."""
    if isinstance(value, dict):
        if PATCH in value:
            return False, None
        found = {key: _without_directives(item) for key, item in value.items() if item is not None}
        return True, {key: item for key, (kept, item) in found.items() if kept}
    if isinstance(value, list):
        return True, [item for kept, item in map(_without_directives, value) if kept]
    return True, value


def _delete_scalars(result: Object, name: str, unwanted: Any, schema: Schema) -> None:
    """`$deleteFromPrimitiveList/<name>`."""
    if unwanted is None:
        result.pop(name, None)
        return
    before = result.get(name)
    if not isinstance(before, list) or not isinstance(unwanted, list):
        return
    if not schema.field(name).merges:
        result[name] = unwanted
    elif before or unwanted:
        if directives.element_type(before, unwanted) == directives.type_name({}):
            result[name] = _merge_lists(before, unwanted, schema.field(name))
            return
        gone = directives.places(unwanted, "")
        result[name] = [item for item in before if directives.identity(item, "") not in gone]


def _merge_lists(before: list[Any], patch: list[Any], field: Field) -> list[Any]:
    if not field.merges:
        return patch
    if not before and not patch:
        return before
    if directives.element_type(before, patch) != directives.type_name({}):
        both = {directives.identity(item, ""): item for item in [*before, *patch]}
        return directives.arranged(list(both.values()), patch, before, "")
    result, kept, plain = _merge_objects(before, patch, field)
    return directives.arranged(result, plain, kept, field.key)


def _merge_objects(before: list[Any], patch: list[Any], field: Field) -> tuple[list[Any], list[Any], list[Any]]:
    """Not in order yet: the merged list, what was kept of the list before, and the patch without special elements."""
    if not field.key:
        raise directives.refused("cannot merge lists without merge key for type struct")
    kept, plain = _specials(before, patch, field.key)
    result = list(kept)
    place: dict[str, int] = {}
    for index, item in enumerate(kept):
        if field.key in item:
            place.setdefault(directives.identity(item, field.key), index)
    for item in plain:
        name = directives.identity(item, field.key)
        if name in place:
            result[place[name]] = _merge_maps(result[place[name]], item, field.schema)
        else:
            place[name] = len(result)
            result.append(item)
    return result, kept, plain


def _specials(before: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the elements with `$patch`; what is left of the list and of the patch."""
    plain: list[Any] = []
    gone: set[str] = set()
    is_replaced = False
    for item in patch:
        directive = item.get(PATCH, plain)
        if directive is plain:
            plain.append(item)
        elif directive == DELETE:
            gone.add(directives.identity(item, key))
        elif directive == REPLACE:
            is_replaced = True
        elif directive == MERGE:
            raise directives.refused("merging lists cannot yet be specified in the patch")
        else:
            raise directives.unknown_directive(directive, item)
    if is_replaced:
        return plain, []
    return [item for item in before if key not in item or directives.identity(item, key) not in gone], plain


def _merge_ordered(result: Object, patch: Object, name: str, order: Any, schema: Schema) -> None:
    """`$setElementOrder/<name>`: merge the list, then put it in order."""
    if not isinstance(order, list):
        raise directives.wrong_type("[]interface {}", order)
    for side in (result, patch):
        if name in side and not isinstance(side[name], list):
            raise directives.wrong_type("[]interface {}", side[name])
    field = schema.field(name)
    before, changes = result.get(name, []), patch.get(name, [])
    _check_order(changes, order, field.key)
    live = before
    if name in result and name in patch:
        merged_list = _merge_lists(before, changes, field)
        live = _order_after(before, changes, field)
    elif name in patch:
        merged_list = _without_directives(changes)[1]
    elif name in result:
        merged_list = before
    else:
        return
    directives.element_type(before, changes)
    result[name] = directives.arranged(merged_list, order, live, field.key)


def _order_after(before: list[Any], changes: list[Any], field: Field) -> list[Any]:
    """The order to interleave by. A new element takes the place at the end that a deleted one left.

    So do real servers, which delete and append in the live list itself.
    """
    gone = [item for item in changes if directives.is_deletion(item)]
    if not field.merges or not gone or any(isinstance(item, dict) and item.get(PATCH) == REPLACE for item in changes):
        return before
    return _merge_objects(before, changes, field)[0][: len(before)]


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """Every element of the patch must be in the order, and come in that order."""
    if not order or not patch:
        return
    place = 0
    for item in patch:
        if isinstance(item, dict) and (PATCH in item):
            continue
        name = directives.identity(item, key)
        while place < len(order) and directives.identity(order[place], key) != name:
            place += 1
        if place >= len(order):
            shown = go_text(patch), go_text(order)
            raise directives.refused(
                f"The order in patch list:\n{shown[0]}\n doesn't match {SET_ORDER} list:\n{shown[1]}\n"
            )
        place += 1
