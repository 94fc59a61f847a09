"""Which fields one object has more, less or other than another, down to single elements of keyed lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from events.local.apiserver.managed import elements, fieldsets
from events.local.apiserver.managed.fieldsets import LEAF, SELF, FieldSet, with_member
from events.local.apiserver.managed.types import UNTYPED, ListForm, MapForm, Type
from events.local.apiserver.managed.values import ABSENT, same, same_fast


@dataclass(frozen=True)
class Comparison:
    """Paths that came, changed and went."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def written(self) -> FieldSet:
        """What the writer set: added or modified."""
        return fieldsets.union(self.added, self.modified)

    def ignoring(self, roots: FieldSet) -> Comparison:
        """The same without these fields and everything below them."""
        if not roots:
            return self
        return Comparison(
            *(fieldsets.without_subtrees(part, roots) for part in (self.added, self.modified, self.removed))
        )


NOTHING = Comparison(LEAF, LEAF, LEAF)


def compare(old: Any, new: Any, kind: Type) -> Comparison:
    """From `old` to `new`, both of this type. A field that no schema knows is one value."""
    found = _Found()
    if not same_fast(old, new):
        _compare(old, new, kind, found)
    return Comparison(found.added, found.modified, found.removed)


class _Found:
    """The three sets below one path, while they are made."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self) -> None:
        self.added: FieldSet = {}
        self.modified: FieldSet = {}
        self.removed: FieldSet = {}


def _compare(old: Any, new: Any, kind: Type, found: _Found) -> str:
    """Fill in what is different below; says what happened to the path itself: `added`, `modified`, `removed` or ``."""
    before, after = kind.narrowed(old), kind.narrowed(new)
    if new is ABSENT:
        own = _compare_as(before, old, new, found)
    elif old is ABSENT or (before.scalar, before.list, before.map) == (after.scalar, after.list, after.map):
        own = _compare_as(after, old, new, found)
    else:  # another form: everything of the old one went, everything of the new one came
        own = _compare_as(before, old, new, found)
        own = _compare_as(after, old, new, found) or own
    if own:
        return own
    if old is ABSENT:
        return "added"
    return "removed" if new is ABSENT else ""


def _compare_as(form: Type, old: Any, new: Any, found: _Found) -> str:
    if form.map is not None:
        mine, theirs = _as(dict, old), _as(dict, new)
        if form.map.is_atomic or not (mine or theirs):
            return _whole(old, new)
        _compare_maps(form.map, mine or {}, theirs or {}, found)
        return ""
    if form.scalar is None and form.list is not None:
        mine, theirs = _as(list, old), _as(list, new)
        if form.list.is_atomic or not (mine or theirs):
            return _whole(old, new)
        _compare_lists(form.list, mine or [], theirs or [], found)
        return ""
    return _whole(old, new)


def _whole(old: Any, new: Any) -> str:
    if old is ABSENT:
        return "added"
    if new is ABSENT:
        return "removed"
    return "" if same(old, new) else "modified"


def _as(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else None


def _compare_maps(form: MapForm, old: dict[str, Any], new: dict[str, Any], found: _Found) -> None:
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if not same_fast(before, value):
            _descend(f"f:{name}", before, value, form.field(name) or UNTYPED, found)
    for name, value in old.items():
        if name not in new:
            _descend(f"f:{name}", value, ABSENT, form.field(name) or UNTYPED, found)


def _compare_lists(form: ListForm, old: list[Any], new: list[Any], found: _Found) -> None:
    before, after = elements.named(form, old), elements.named(form, new)
    for element in {**before, **after}:
        mine, theirs = before.get(element, []), after.get(element, [])
        if len(mine) <= 1 and len(theirs) <= 1:
            left, right = mine[0] if mine else ABSENT, theirs[0] if theirs else ABSENT
            if not same_fast(left, right):
                _descend(element, left, right, form.element, found)
        elif len(mine) > 1 and len(theirs) > 1:  # twins on both sides are one value
            if not same(mine, theirs):
                found.modified[element] = LEAF
        elif len(mine) > 1:  # no twins any more
            if theirs:
                _descend(element, ABSENT, theirs[0], form.element, found)
            found.removed[element] = LEAF
        else:
            if mine:
                _descend(element, mine[0], ABSENT, form.element, found)
            found.added[element] = LEAF


def _descend(element: str, old: Any, new: Any, kind: Type, found: _Found) -> None:
    if old is ABSENT:
        found.added[element] = everything(new, kind)
        return
    if new is ABSENT:
        found.removed[element] = everything(old, kind)
        return
    below = _Found()
    own = _compare(old, new, kind, below)
    for name in ("added", "modified", "removed"):
        children: FieldSet = getattr(below, name)
        if name == own:
            getattr(found, name)[element] = with_member(children)
        elif children:
            getattr(found, name)[element] = children


def everything(value: Any, kind: Type) -> FieldSet:
    """The node of a path that came or went as a whole: itself and all that is below."""
    form = kind.narrowed(value)
    if form.map is not None:
        if form.map.is_atomic or not isinstance(value, dict) or not value:
            return LEAF
        field = form.map.field
        node = {SELF: LEAF}
        for name, item in sorted(value.items()):
            node["f:" + name] = LEAF if type(item) is str else everything(item, field(name) or UNTYPED)
        return node
    if form.scalar is None and form.list is not None:
        if form.list.is_atomic or not isinstance(value, list) or not value:
            return LEAF
        return with_member(
            {
                element: everything(items[0], form.list.element) if len(items) == 1 else LEAF
                for element, items in elements.named(form.list, value).items()
            }
        )
    return LEAF
