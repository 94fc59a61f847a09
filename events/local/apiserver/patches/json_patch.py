"""JSON patch (RFC 6902), with what the real server's library allows beyond it.

Negative indices count from the end, `copy` may at most add `MOST_COPIED` bytes, and any operation that does not fit
is one 422 without details.
"""

from __future__ import annotations

import copy
from typing import Any

import orjson

from events.local.apiserver.managed.values import same
from events.local.apiserver.patches import documents
from events.local.apiserver.status import StatusError

MOST_OPERATIONS = 10_000
MOST_COPIED = 3 * 1024 * 1024
_FIELDS = {"op": "op", "path": "path", "from": "from"}
_MISSING = object()

Operation = dict[str, Any]


class _Unfit(Exception):
    """An operation that cannot be done."""


def decode(body: bytes) -> tuple[list[Operation], list[str]]:
    """The operations of a request, and warnings. Raises StatusError 400 and, for too many, 413."""
    found, _ = documents.decode(body)
    if found is None:
        return [], []
    if not isinstance(found, list):
        kind = documents.name_of(found)
        raise documents.undecodable(f"json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp")
    warnings = []
    for index, operation in enumerate(found):
        if operation is not None and not isinstance(operation, dict):
            kind = documents.name_of(operation)
            raise documents.undecodable(f"json: cannot unmarshal {kind} into Go value of type handlers.jsonPatchOp")
        for name in operation or {}:
            if name not in ("op", "path", "from", "value"):
                warnings.append(f'json patch unknown field "[{index}].{name}"')
        for name in _FIELDS:
            value = (operation or {}).get(name)
            if value is not None and not isinstance(value, str):
                kind = documents.name_of(value)
                where = f"Go struct field jsonPatchOp.{name} of type string"
                raise documents.undecodable(f"json: cannot unmarshal {kind} into {where}")
    if len(found) > MOST_OPERATIONS:
        most = f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(found)}"
        raise StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {most}")
    return [operation or {} for operation in found], warnings


def apply(document: Any, operations: list[Operation]) -> Any:
    """The document after all operations. Raises StatusError 422 when one does not fit; nothing is changed then."""
    patching = _Patching(document)
    try:
        for operation in operations:
            patching.do(operation)
    except _Unfit as error:
        message = "the server rejected our request due to an error in our request"
        raise StatusError(422, "Invalid", message, {}) from error
    return patching.document


class _Patching:
    """A document under change. What came with the request is copied before it is written to, and only once."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._own: dict[int, Any] = {}  # by id; holds them, so that no id is used again
        self._copied = 0

    def do(self, operation: Operation) -> None:
        kind, path = operation.get("op"), operation.get("path")
        if not isinstance(path, str):
            raise _Unfit("path is missing")
        if kind == "add":
            self._add(path, operation.get("value"))
        elif kind == "remove":
            self._remove(path)
        elif kind == "replace":
            self._replace(path, operation.get("value"))
        elif kind == "move":
            value = self._get(_source(operation))
            self._remove(_source(operation))
            self._add(path, value)
        elif kind == "copy":
            self._add(path, self._copy(self._get(_source(operation))))
        elif kind == "test":
            self._test(path, operation.get("value"))
        else:
            raise _Unfit(f"unexpected kind: {kind}")

    def _copy(self, value: Any) -> Any:
        self._copied += len(orjson.dumps(value))
        if self._copied > MOST_COPIED:
            raise _Unfit("too much is copied")
        return copy.deepcopy(value)

    def _owned(self, value: Any) -> Any:
        """The container itself if it is ours, else a copy of this one level."""
        if id(value) in self._own:
            return value
        mine = value.copy()
        self._own[id(mine)] = mine
        return mine

    def _container(self, path: str, *, to_write: bool) -> tuple[Any, str]:
        """What the last element of the path stands in, and that element."""
        steps = path.split("/")
        if len(steps) < 2:
            raise _Unfit("no such container")
        if to_write:
            self.document = self._owned(self.document) if isinstance(self.document, dict | list) else self.document
        current = self.document
        for step in steps[1:-1]:
            key = _key(current, _plain(step), len_of=0)
            below = _item(current, key)
            if not isinstance(below, dict | list):
                raise _Unfit("no such container")
            if to_write:
                below = current[key] = self._owned(below)
            current = below
        if not isinstance(current, dict | list):
            raise _Unfit("no such container")
        return current, _plain(steps[-1])

    def _get(self, path: str) -> Any:
        container, name = self._container(path, to_write=False)
        value = _item(container, _key(container, name, len_of=0))
        if value is _MISSING:
            raise _Unfit("missing")
        return value

    def _add(self, path: str, value: Any) -> None:
        container, name = self._container(path, to_write=True)
        if isinstance(container, dict):
            container[name] = value
        elif name == "-":
            container.append(value)
        else:
            container.insert(_key(container, name, len_of=1), value)

    def _remove(self, path: str) -> None:
        container, name = self._container(path, to_write=True)
        key = _key(container, name, len_of=0)
        if _item(container, key) is _MISSING:
            raise _Unfit("missing")
        del container[key]

    def _replace(self, path: str, value: Any) -> None:
        if path == "":
            if not isinstance(value, dict | list):
                raise _Unfit("a document is an object or a list")
            self.document = value
            return
        container, name = self._container(path, to_write=True)
        key = _key(container, name, len_of=0)
        if _item(container, key) is _MISSING:
            raise _Unfit("missing")
        container[key] = value

    def _test(self, path: str, value: Any) -> None:
        if path == "":
            found = self.document
        else:
            container, name = self._container(path, to_write=False)
            found = _item(container, _key(container, name, len_of=0))
        if found is _MISSING:
            found = None  # a field that is not there is as good as null
        if not same(found, value):
            raise _Unfit("test failed")


def _source(operation: Operation) -> str:
    source = operation.get("from")
    if not isinstance(source, str):
        raise _Unfit("from is missing")
    return source


def _plain(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _key(container: Any, name: str, *, len_of: int) -> Any:
    """The key of an object, or the index of a list, which may have `len_of` more places than elements."""
    if isinstance(container, dict):
        return name
    digits = name[1:] if name[:1] in ("+", "-") else name
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 18:
        raise _Unfit("not an index")
    places = len(container) + len_of
    index = int(name)
    if index < 0:
        index += places
    if not 0 <= index < places:
        raise _Unfit("no such index")
    return index


def _item(container: Any, key: Any) -> Any:
    return container.get(key, _MISSING) if isinstance(container, dict) else container[key]
