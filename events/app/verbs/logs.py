"""`keryx logs POD`: what containers said. Of several, each line with the name of its container."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from events.app.verbs import pods
from events.app.verbs.session import FAILED, Session
from events.errors import ActionError, UserError
from events.kube.api import KubeError, Object

MOST = 50
"""Logs that are followed at once."""
START_SECONDS = 20.0
"""How long a log that is followed waits for its container."""
_PAUSE = 0.3
_TAIL_OF_MANY = 10
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """Whose lines, and which."""

    words: Sequence[str] = ()
    selector: str = ""
    container: str = ""
    all_containers: bool = False
    follows: bool = False
    previous: bool = False
    timestamps: bool = False
    prefix: bool = False
    tail: int = -1
    since: float = 0.0
    since_time: str = ""
    start_seconds: float = START_SECONDS

    def params(self, container: str) -> dict[str, str]:
        """Of the API."""
        tail = _TAIL_OF_MANY if self.selector and self.tail < 0 else self.tail
        found = {"container": container, "sinceTime": self.since_time}
        found |= {"follow": "true"} if self.follows else {}
        found |= {"previous": "true"} if self.previous else {}
        found |= {"timestamps": "true"} if self.timestamps else {}
        found |= {"tailLines": str(tail)} if tail >= 0 else {}
        return found | ({"sinceSeconds": str(max(1, round(self.since)))} if self.since else {})


@dataclass(frozen=True, slots=True)
class Stream:
    """One container of one pod."""

    pod: str
    container: str

    @property
    def prefix(self) -> bytes:
        """What stands before its lines among others'."""
        return f"[pod/{self.pod}/{self.container}] ".encode()


async def logs(session: Session, wanted: Wanted) -> int:
    """Print them, until their end or for ever."""
    streams = [one for pod in await _pods(session, wanted) for one in _streams(session, pod, wanted)]
    if not streams:
        session.screen.note(f"No resources found in {session.namespace} namespace.")
        return 0
    has_prefix = wanted.prefix or len(streams) > 1
    if not wanted.follows:
        codes = [await _read(session, one, wanted, has_prefix=has_prefix) for one in streams]
        return max(codes)
    if len(streams) > MOST:
        cure = "name a pod, or a container by -c"
        raise UserError(f"{len(streams)} logs are too many to follow, {MOST} is the most", cure=cure)
    broken: list[BaseException] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_read(session, one, wanted, has_prefix=has_prefix)) for one in streams]
    except* OSError as group:  # whoever reads us has gone
        broken += group.exceptions
    if broken:
        raise broken[0]
    return max(task.result() for task in running)


async def _pods(session: Session, wanted: Wanted) -> list[Object]:
    if wanted.selector:
        return await pods.chosen(session, wanted.selector)
    word, *more = wanted.words
    if more and not wanted.container and len(more) == 1 and "/" not in word:
        return (await pods.of(session, word))[2]  # `logs POD CONTAINER`
    if more:
        raise UserError("logs of one thing at a time", cure="KIND/NAME or -l SELECTOR means several pods")
    return (await pods.of(session, word))[2]


def _streams(session: Session, pod: Object, wanted: Wanted) -> list[Stream]:
    name = pods.name_of(pod)
    if wanted.all_containers:
        return [Stream(name, one) for one in pods.containers(pod)]
    asked = wanted.container or "".join(wanted.words[1:2])
    if asked:
        if asked not in (known := pods.containers(pod)):
            raise UserError(f"container {asked} is not valid for pod {name}", cure=f"one of {', '.join(known)}")
        return [Stream(name, asked)]
    first, others = pods.default_container(pod)
    if others:
        session.screen.note(f'Defaulted container "{first}" out of: {", ".join((first, *others))}')
    return [Stream(name, first)]


async def _read(session: Session, stream: Stream, wanted: Wanted, *, has_prefix: bool) -> int:
    """One log; what the server refuses is told, the others go on."""
    ends = asyncio.get_running_loop().time() + wanted.start_seconds
    while True:
        try:
            await _copy(session, stream, wanted, stream.prefix if has_prefix else b"")
            return 0
        except ActionError as error:
            is_early = wanted.follows and isinstance(error, KubeError) and _is_early(error)
            if not is_early or asyncio.get_running_loop().time() >= ends:
                return session.refused(error) or FAILED
        await asyncio.sleep(_PAUSE)


def _is_early(error: KubeError) -> bool:
    """Whether the container has not begun yet."""
    return error.status == 400 and "waiting to start" in error.message


async def _copy(session: Session, stream: Stream, wanted: Wanted, prefix: bytes) -> None:
    where = f"/api/v1/namespaces/{session.namespace}/pods/{stream.pod}/log"
    rest = b""
    async with aclosing(session.api.stream(where, wanted.params(stream.container))) as chunks:
        async for chunk in chunks:
            if not prefix:
                session.screen.raw(chunk)
                continue
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            session.screen.raw(b"".join(prefix + line + b"\n" for line in lines))
    if rest:
        session.screen.raw(prefix + rest + b"\n")
