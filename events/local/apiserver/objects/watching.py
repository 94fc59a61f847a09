"""Watches: the changes of a kind as lines of JSON, from a version on, until the client goes or its time is up.

A watch has no queue of its own: it reads the history of the kind at its own pace. One that falls behind what is kept
is told so (410) and begins anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from events.local.apiserver.entries import Change, Entry
from events.local.apiserver.history import Expired
from events.local.apiserver.objects import errors, listing, options
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.store import Store
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = dict[str, Any]
Shown = Callable[[Entry], bytes]
"""The JSON of an object as this watch is to see it: plain, as a table, as its metadata alone."""

LONGEST = 30 * 60.0
"""Seconds, for those who do not say how long; doubled at random, so that not all come back at once."""
FIRST_BOOKMARK, BOOKMARK_SECONDS = 0.5, 60.0
"""Soon after the start, so that a client knows that it is heard, and then now and then."""
_LAST_BOOKMARK = 2.0
"""A bookmark is sent about this long before the end."""
_INITIAL_END = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class Watch:
    """What a client asked for, checked."""

    resource: Resource
    wanted: listing.Wanted
    version: int
    """From here on; 0: what is there now comes first."""
    seconds: float
    has_bookmarks: bool
    has_end_of_initial: bool
    form: object
    """Tells the ways apart in which objects are shown: lines are shared by watches of one form."""


def parse(
    resource: Resource,
    wanted: listing.Wanted,
    query: Mapping[str, Sequence[str]],
    form: object,
    current: int,
) -> Watch:
    """Raises StatusError 400, 422 and 504."""
    initial = query.get("sendInitialEvents")
    sends_initial = initial is not None and options.truth(initial[0] or "false")
    if wrong := _wrong(query, has_initial=initial is not None):
        raise errors.invalid_options("ListOptions", wrong)
    version = listing.parsed_version(listing.one(query, "resourceVersion"))
    if version > current:
        raise listing.too_large(version, current)
    if initial is not None and not sends_initial and not version:
        version = current
    seconds = _seconds(query)
    bookmarks = options.truth(listing.one(query, "allowWatchBookmarks") or None)
    return Watch(
        resource, wanted, 0 if sends_initial else version, seconds, bookmarks, sends_initial and bookmarks, form
    )


def _wrong(query: Mapping[str, Sequence[str]], *, has_initial: bool) -> list[Cause]:
    match = listing.one(query, "resourceVersionMatch")
    where = "resourceVersionMatch"
    wrong: list[Cause] = []
    if has_initial:
        if match != "NotOlderThan":
            says = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            wrong.append(causes.forbidden(where, says))
    elif match:
        says = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        wrong.append(causes.forbidden(where, says))
    if match and match != "NotOlderThan":
        wrong.append(causes.not_supported(where, match, ("NotOlderThan",)))
    return wrong


def _seconds(query: Mapping[str, Sequence[str]]) -> float:
    text = listing.one(query, "timeoutSeconds")
    try:
        found = int(text) if text else 0
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    # spread, not secret
    return float(found) if found > 0 else LONGEST * (1 + random.random())


async def lines(store: Store, watch: Watch, shown: Shown) -> AsyncGenerator[bytes, None]:
    """The events of a watch, several in one piece when there are several; ends when its time is up.

    A version that is not kept any longer is an event of its own, `ERROR` with a 410, and the end. The first piece may
    be empty: by then the watch is open.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + watch.seconds
    history = store.history(watch.resource.storage)
    try:
        position, first = _start(store, watch, shown)
    except StatusError as error:
        yield error_line(error)
        return
    await store.settled()  # nobody is shown what may yet be refused
    yield first
    bookmark_at = loop.time() + FIRST_BOOKMARK
    while (now := loop.time()) < end:
        try:
            changes = history.since(position)
        except Expired:
            yield error_line(too_old(position, history.floor))
            return
        if changes:
            position = changes[-1].version
            piece = b"".join(_of_change(watch, change, shown) for change in changes)
            if piece:
                yield piece
        elif watch.has_bookmarks and now >= bookmark_at:
            bookmark_at = _next_bookmark(now, end)
            position = max(position, store.kept)
            yield bookmark(shown, position)
        else:
            # Nothing is awaited since the look at the history: what comes now ends the wait.
            await _wait(history.more(), min(end, bookmark_at if watch.has_bookmarks else end) - now)


def _start(store: Store, watch: Watch, shown: Shown) -> tuple[int, bytes]:
    """Where the watch goes on, and what it begins with."""
    position = watch.version
    if position:
        try:
            store.history(watch.resource.storage).since(position)
        except Expired:
            raise too_old(position, store.history(watch.resource.storage).floor) from None
        return position, b""
    found = listing.listed(store, watch.resource, watch.wanted, {})
    first = [_line("ADDED", shown(entry)) for entry in found.entries]
    if watch.has_end_of_initial:
        first.append(bookmark(shown, found.version, {_INITIAL_END: "true"}))
    return found.version, b"".join(first)


def too_old(version: int, floor: int) -> StatusError:
    """410."""
    return errors.expired(f"too old resource version: {version} ({floor + 1})")


async def _wait(change: asyncio.Future[None], seconds: float) -> None:
    try:
        await asyncio.wait({change}, timeout=max(0.0, seconds))
    finally:
        change.cancel()


def _next_bookmark(now: float, end: float) -> float:
    before_end = end - _LAST_BOOKMARK
    return min(now + BOOKMARK_SECONDS, before_end) if before_end > now else now + BOOKMARK_SECONDS


def _of_change(watch: Watch, change: Change, shown: Shown) -> bytes:
    """What the change is to this watch: an object may come into its selection, or leave it."""
    if watch.wanted.namespace and change.key[0] != watch.wanted.namespace:
        return b""
    resource, wanted = watch.resource, watch.wanted
    was = change.old is not None and wanted.matches(resource, change.old)
    now = change.new is not None and wanted.matches(resource, change.new)
    if not was and not now:
        return b""
    kind = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
    key = (watch.form, kind)
    line = change.lines.get(key)
    if line is None:
        entry = change.new if now else change.old
        assert entry is not None
        line = change.lines[key] = _line(kind, shown(entry if now else entry.at(change.version)))
    return line


def _line(kind: str, it: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), it)


def bookmark(shown: Shown, version: int, annotations: Mapping[str, str] | None = None) -> bytes:
    """Where the watch stands, as an object with nothing but a version."""
    metadata: Object = {"resourceVersion": str(version)}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return _line("BOOKMARK", shown(Entry("", "", version, orjson.dumps({"metadata": metadata}))))


def error_line(error: StatusError) -> bytes:
    """A refusal in the middle of a watch."""
    return _line("ERROR", orjson.dumps(errors.status(error)))
