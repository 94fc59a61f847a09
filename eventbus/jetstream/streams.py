"""The stream of events and the buckets of state: what they look like, and making them when they are missing.

Contract: sensors E.3. An existing stream is never changed: whoever made it may have other wishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventbus import stream_config, subjects
from eventbus.dead_letters import MAX_AGE_DAYS
from eventbus.jetstream import api
from eventbus.jetstream.link import Link
from events import durations
from events.errors import UserError

_RETENTION = {0: "limits", 1: "interest", 2: "workqueue"}
_DISCARD = {0: "old", 1: "new"}
KEYS = ("discard", "duplicates", "maxage", "maxbytes", "maxmsgs", "replicas", "retention")
DUPLICATES_NS = 300 * durations.NANOSECONDS["s"]


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """The settings of a stream. Times are nanoseconds; -1 is no limit."""

    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    replicas: int = 1
    duplicates: int = DUPLICATES_NS
    retention: str = "limits"
    discard: str = "old"

    @classmethod
    def parse(cls, text: str) -> StreamConfig:
        """From the YAML of a bus configuration; UserError naming the value that cannot be used.

        What nobody knows is for validation to say: Argo Events takes no notice of it.
        """
        values = stream_config.values(text)
        retention = _choice(values, "retention", _RETENTION)
        if retention == "workqueue":
            raise UserError(
                "work-queue streams hand an event to one reader only",
                path="streamConfig.retention",
                cure="use 0 (limits) or 1 (interest)",
            )
        return cls(
            max_msgs=_count(values, "maxmsgs") or -1,
            max_bytes=_count(values, "maxbytes") or -1,
            max_age=_time(values, "maxage", 0),
            replicas=_count(values, "replicas") or 1,
            duplicates=_time(values, "duplicates", DUPLICATES_NS),
            retention=retention,
            discard=_choice(values, "discard", _DISCARD),
        )


def _count(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{value!r} is not a whole number", path=f"streamConfig.{key}")
    return value


def _time(values: Mapping[str, Any], key: str, default: int) -> int:
    value = values.get(key)
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return durations.nanoseconds(str(value))


def _choice(values: Mapping[str, Any], key: str, choices: Mapping[int, str]) -> str:
    value = values.get(key, 0)
    if value in choices.values():
        return str(value)
    if value not in choices:
        raise UserError(f"{value!r} is none of {sorted(choices)}", path=f"streamConfig.{key}")
    return choices[value]


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream as it is now."""

    created: str
    first: int
    last: int
    is_interest: bool = False


async def state(link: Link, stream: str = subjects.STREAM) -> StreamState:
    """The stream as it is now; ApiError STREAM_NOT_FOUND when there is none."""
    info = await api.call(link, f"STREAM.INFO.{stream}")
    return StreamState(
        created=str(info["created"]),
        first=int(info["state"]["first_seq"]),
        last=int(info["state"]["last_seq"]),
        is_interest=info["config"].get("retention") == "interest",
    )


async def created(link: Link) -> str:
    """Identity of the stream of events; empty when there is none."""
    try:
        return (await state(link)).created
    except api.ApiError as error:
        if error.code != api.STREAM_NOT_FOUND:
            raise
    return ""


async def ensure_events(link: Link, config: StreamConfig) -> StreamState:
    """The stream of events, made when it is missing."""
    await _ensure(
        link,
        subjects.STREAM,
        {
            "subjects": [subjects.SUBJECTS],
            "max_msgs": config.max_msgs,
            "max_bytes": config.max_bytes,
            "max_age": config.max_age,
            "num_replicas": config.replicas,
            "duplicate_window": _window(config),
            "retention": config.retention,
            "discard": config.discard,
            "storage": "file",
        },
    )
    return await state(link)


def _window(config: StreamConfig) -> int:
    """The server refuses a window against duplicates that is longer than events are kept."""
    return min(config.duplicates, config.max_age) if config.max_age else config.duplicates


async def ensure_bucket(link: Link, bucket: str, replicas: int) -> None:
    """A bucket of small values, made when it is missing. Reads go to the leader: a follower may be behind."""
    await _ensure(
        link,
        f"KV_{bucket}",
        {
            "subjects": [f"$KV.{bucket}.>"],
            "max_msgs_per_subject": 1,
            "max_msgs": -1,
            "max_bytes": -1,
            "num_replicas": replicas,
            "retention": "limits",
            "discard": "new",
            "storage": "file",
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": False,
        },
    )


async def ensure_dead_letters(link: Link, stream: str, replicas: int, max_bytes: int) -> None:
    """The stream of dead letters, made when it is missing; smaller where the broker has no room for that much."""
    for share in (1, 4, 16, 64):
        config = {
            "subjects": [f"{stream}.>"],
            "max_msgs": -1,
            "max_bytes": max_bytes // share,
            "max_age": MAX_AGE_DAYS * 24 * durations.NANOSECONDS["h"],
            "num_replicas": replicas,
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "allow_direct": False,
        }
        try:
            await _ensure(link, stream, config)
        except api.NoRoom:
            if share == 64:
                raise
        else:
            break


async def _ensure(link: Link, name: str, config: dict[str, Any]) -> None:
    try:
        await api.call(link, f"STREAM.INFO.{name}")
        return
    except api.ApiError as error:
        if error.code != api.STREAM_NOT_FOUND:
            raise
    try:
        await api.call(link, f"STREAM.CREATE.{name}", {"name": name, **config})
    except api.ApiError as error:
        if error.code != api.STREAM_NAME_IN_USE:  # somebody else was faster
            raise
