"""Lists: which objects, of which version, in which pieces."""

from __future__ import annotations

import base64
import binascii
import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from events.local.apiserver import selectors
from events.local.apiserver.entries import Entry, Key
from events.local.apiserver.history import Expired
from events.local.apiserver.objects import errors, versions
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.store import Store
from events.local.apiserver.validation import causes

Object = dict[str, Any]

_MATCHES = ("Exact", "NotOlderThan")
_TOO_OLD = "The resourceVersion for the provided list is too old."
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True)
class Wanted:
    """Which objects of a kind. `name`: the one that a path or a field selector leaves."""

    namespace: str
    labels: selectors.Labels
    fields: selectors.Fields

    @property
    def is_everything(self) -> bool:
        return self.labels.is_everything and self.fields.is_everything

    def matches(self, resource: Resource, entry: Entry) -> bool:
        """Whether the selectors match; the namespace is the caller's."""
        if self.is_everything:
            return True
        it = versions.shown(resource, entry)
        if not self.labels.is_everything and not self.labels.matches(it["metadata"].get("labels") or {}):
            return False
        return self.fields.is_everything or self.fields.matches(selectors.values(resource, it))


@dataclass(frozen=True)
class Listed:
    """A piece of a list."""

    entries: list[Entry]
    version: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> Object:
        """Of the list."""
        found: Object = {"resourceVersion": str(self.version)}
        if self.token:
            found["continue"] = self.token
            if self.remaining is not None:
                found["remainingItemCount"] = self.remaining
        return found


def wanted(resource: Resource, namespace: str, name: str, query: Mapping[str, Sequence[str]]) -> Wanted:
    """The selection of a query. Raises StatusError 400."""
    labels = selectors.labels(one(query, "labelSelector"))
    fields = selectors.checked(selectors.fields(one(query, "fieldSelector")), resource)
    if name:
        said = fields.name
        if said and said != name:
            says = f"fieldSelector metadata.name={said} does not match the name of the path, {name}"
            raise errors.bad_request(says)
        fields = selectors.Fields((selectors.Term(selectors.NAME, name),))
    return Wanted(namespace, labels, fields)


def one(query: Mapping[str, Sequence[str]], key: str) -> str:
    """The first value of a parameter."""
    found = query.get(key)
    return found[0] if found else ""


def listed(store: Store, resource: Resource, asked: Wanted, query: Mapping[str, Sequence[str]]) -> Listed:
    """Raises StatusError 400, 410, 422 and 504."""
    limit, token = _limit(query), one(query, "continue")
    version, is_exact = _version(query, token)
    start: Key | None = None
    if token:
        version, start = _continued(token)
        is_exact = version > 0
    if version > store.version:
        raise too_large(version, store.version)
    objects: Mapping[Key, Entry] = store.all(resource.storage)
    shown = store.version
    if is_exact:
        try:
            objects, shown = store.history(resource.storage).as_of(version, objects), version
        except Expired:
            raise _expired(token, start, store.version) from None
    return _piece(_selected(resource, objects, asked), shown, limit, start, asked)


def _piece(entries: list[Entry], version: int, limit: int, start: Key | None, asked: Wanted) -> Listed:
    if start is not None:
        entries = entries[bisect.bisect_right(entries, start, key=lambda entry: entry.key) :]
    if not limit or len(entries) <= limit:
        return Listed(entries, version)
    left = len(entries) - limit
    piece = entries[:limit]
    return Listed(piece, version, _token(version, piece[-1].key), left if asked.is_everything else None)


def _selected(resource: Resource, objects: Mapping[Key, Entry], asked: Wanted) -> list[Entry]:
    if asked.namespace and asked.fields.name:
        found = objects.get((asked.namespace, asked.fields.name))
        candidates = [found] if found else []
    elif asked.namespace:
        candidates = [entry for key, entry in objects.items() if key[0] == asked.namespace]
    else:
        candidates = list(objects.values())
    if not asked.is_everything:
        candidates = [entry for entry in candidates if asked.matches(resource, entry)]
    candidates.sort(key=lambda entry: entry.key)
    return candidates


def _limit(query: Mapping[str, Sequence[str]]) -> int:
    text = one(query, "limit")
    try:
        return max(0, int(text)) if text else 0
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _version(query: Mapping[str, Sequence[str]], token: str) -> tuple[int, bool]:
    """The version that is asked for, and whether it must be just that one."""
    text, match = one(query, "resourceVersion"), one(query, "resourceVersionMatch")
    wrong = []
    if query.get("sendInitialEvents"):
        wrong.append(causes.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if match:
        if not text:
            says = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            wrong.append(causes.forbidden("resourceVersionMatch", says))
        if token:
            says = "resourceVersionMatch is forbidden when continue is provided"
            wrong.append(causes.forbidden("resourceVersionMatch", says))
        if match not in _MATCHES:
            wrong.append(causes.not_supported("resourceVersionMatch", match, (*_MATCHES, "")))
        elif match == "Exact" and text == "0":
            says = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            wrong.append(causes.forbidden("resourceVersionMatch", says))
    if wrong:
        raise errors.invalid_options("ListOptions", wrong)
    if token and text not in ("", "0"):
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    number = parsed_version(text, "invalid resource version: ")
    return number, match == "Exact" or bool(number and _limit(query) and not match)


def parsed_version(text: str, intro: str = "") -> int:
    """A resourceVersion of a query; nothing is 0. Raises StatusError 400."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        says = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise errors.bad_request(f"{intro}{says}")
    return min(int(text), (1 << 63) - 1)


def too_large(wanted_version: int, current: int) -> StatusError:
    """504: that version is yet to come."""
    says = f"Timeout: Too large resource version: {wanted_version}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(504, "Timeout", says, {"causes": [cause], "retryAfterSeconds": 1})


def _token(version: int, key: Key) -> str:
    raw = orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": list(key)})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _continued(token: str) -> tuple[int, Key]:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        found = orjson.loads(raw)
        version, (namespace, name) = found["rv"], found["start"]
        if not (isinstance(version, int) and isinstance(namespace, str) and isinstance(name, str)):
            raise ValueError("of another kind")
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise errors.bad_request(f"continue key is not valid: {error}") from error
    return version, (namespace, name)


def _expired(token: str, start: Key | None, current: int) -> StatusError:
    if start is None:
        return errors.expired(_TOO_OLD)
    error = errors.expired(_EXPIRED)
    error.list_metadata = {"continue": _token(0, start), "resourceVersion": str(current)}  # type: ignore[attr-defined]
    del token
    return error
