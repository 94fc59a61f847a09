"""A stored object: where it lies, its version, and its text. Texts are parsed anew for each reader."""

from __future__ import annotations

from typing import Any

import orjson

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace (empty for a cluster-wide kind) and name."""


class Entry:
    """One version of one object. `body` is its JSON without `apiVersion` and `kind`."""

    __slots__ = ("body", "name", "namespace", "rendered", "version")

    def __init__(self, namespace: str, name: str, version: int, body: bytes) -> None:
        self.namespace, self.name, self.version, self.body = namespace, name, version, body
        self.rendered: tuple[object, bytes] | None = None
        """The last text made for a resource whose objects must be completed on reading."""

    @classmethod
    def of(cls, it: Object, version: int) -> Entry:
        """An entry of an object, which gets this version (in place)."""
        metadata = it["metadata"]
        metadata["resourceVersion"] = str(version)
        bare = {key: value for key, value in it.items() if key not in ("apiVersion", "kind")}
        return cls(metadata.get("namespace", ""), metadata["name"], version, orjson.dumps(bare))

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    def parsed(self) -> Object:
        """The object without `apiVersion` and `kind`; the caller's own."""
        found: Object = orjson.loads(self.body)
        return found

    def at(self, version: int) -> Entry:
        """The same object as of another version: what a watcher is told of a removal."""
        it = self.parsed()
        it["metadata"]["resourceVersion"] = str(version)
        return Entry(self.namespace, self.name, version, orjson.dumps(it))


class Change:
    """One write: `old` is None for a new object, `new` for a removal. `version` is that of the write."""

    __slots__ = ("lines", "new", "old", "storage", "version")

    def __init__(self, version: int, storage: str, old: Entry | None, new: Entry | None) -> None:
        self.version, self.storage, self.old, self.new = version, storage, old, new
        self.lines: dict[object, bytes] = {}
        """Texts that were made for watchers: many watchers read the same ones."""

    @property
    def key(self) -> Key:
        entry = self.new or self.old
        assert entry is not None
        return entry.key
