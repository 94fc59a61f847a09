"""What pods say of their own work, as conditions of their objects: `/findings` of each is asked again and again.

A pod's account need not be allowed anything for that, nor the controller's: it is a look at the port that metrics are
read from. A pod that cannot be asked (a network policy, Argo Events' own) says nothing, and its object has no such
conditions. Asked are at most so many at a time, however many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from events import findings
from events.errors import ActionError
from events.findings import Finding
from events.kube import conditions, pods
from events.kube.api import Object
from events.kube.conditions import Condition
from events.kube.controller import Key
from events.kube.informer import Informer
from events.logs import Log

SECONDS = 5.0
PER_SECOND = 20
"""Pods that are asked in a second, at most: with many, each is asked less often."""
FORGET_SECONDS = 120.0
"""A report that old says nothing any more."""
DEADLINE = 5.0
MAX_BYTES = 256 << 10
_AT_ONCE = 8
_SILENT = 3
_MAX_MESSAGE = 2000
TYPES = {pods.SENSOR.kind: findings.OF_SENSORS, pods.EVENT_SOURCE.kind: findings.OF_EVENT_SOURCES}
Ask = Callable[[str], Awaitable[Any]]
"""What is answered at a URL, parsed; ActionError when nothing is."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one pod said last."""

    uid: str
    """Of the object that it runs for."""
    types: tuple[str, ...] = ()
    found: tuple[Finding, ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()
    """What is not ready, and why."""


@dataclass(slots=True)
class _Heard:
    """Of one pod."""

    report: Report
    at: float
    key: tuple[str, Key]


@dataclass(slots=True)
class Reports:
    """The reports of all pods, as of a moment ago. `run` asks for them."""

    informer: Informer
    """Of the pods."""
    log: Log
    ask: Ask | None = None
    """None: over HTTP."""
    seconds: float = SECONDS
    _heard: dict[str, _Heard] = field(default_factory=dict)
    _silent: dict[str, int] = field(default_factory=dict)
    _listeners: dict[str, Callable[[Key], None]] = field(default_factory=dict)
    _rounds: int = 0

    def subscribe(self, role: pods.Role, listener: Callable[[Key], None]) -> None:
        """Have the object of a role looked at when its pods say something else than before."""
        self._listeners[role.controller] = listener

    # ---- what is known

    def conditions(self, raw: Object, role: pods.Role) -> list[Condition]:
        """Those of an object, by all its pods; what its status says now while nobody has been asked yet."""
        uid, known = raw["metadata"].get("uid"), TYPES[role.kind]
        mine = [one.report for one in self._heard.values() if one.report.uid == uid]
        if not mine and not self._rounds:
            return [_kept(one) for one in conditions.all_of(raw) if one.get("type") in known]
        told = {type_ for report in mine for type_ in report.types}
        found = [one for report in mine for one in report.found]
        return [_condition(type_, [one for one in found if one.type == type_]) for type_ in known if type_ in told]

    def waiting(self, pod: Object) -> str:
        """What keeps a pod from being ready, by its own word; empty: it has not said."""
        heard = self._heard.get(pod["metadata"].get("uid", ""))
        return "; ".join(f"{name}: {reason}" for name, reason in heard.report.waiting) if heard else ""

    # ---- asking

    async def run(self) -> None:
        """Ask for ever."""
        await self.informer.synced()
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=DEADLINE), connector=aiohttp.TCPConnector(limit=_AT_ONCE)
        ) as session:
            ask = self.ask or (lambda url: _over_http(session, url))
            while True:
                asked = await self.round(ask)
                await asyncio.sleep(max(self.seconds, asked / PER_SECOND))

    async def round(self, ask: Ask) -> int:
        """Ask every pod once; how many there were."""
        running = {one["metadata"]["uid"]: (one, url) for one in self.informer.all() if (url := _url(one))}
        waiting = list(running.values())

        async def work() -> None:
            while waiting:
                await self._one(*waiting.pop(), ask)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(work())
        self._rounds += 1
        self._forget(running.keys())
        return len(running)

    async def _one(self, pod: Object, url: str, ask: Ask) -> None:
        uid, key = pod["metadata"]["uid"], _key(pod)
        try:
            report = parsed(await ask(url))
        except ActionError as error:
            self._silent[uid] = self._silent.get(uid, 0) + 1
            if self._silent[uid] == _SILENT:
                self.log.info("A pod does not say how it fares; its object has no conditions of it", reason=str(error))
            return
        self._silent.pop(uid, None)
        before, now = self._heard.get(uid), asyncio.get_running_loop().time()
        self._heard[uid] = _Heard(report, now, key)
        if before is None or before.report != report:
            self._tell(key)

    def _forget(self, running: Iterable[str]) -> None:
        """Pods that are gone, or have not answered for long."""
        now, there = asyncio.get_running_loop().time(), set(running)
        for uid, heard in list(self._heard.items()):
            # Those of a pod that went stay for a while: the next one has not been asked yet.
            if now - heard.at > FORGET_SECONDS or (uid not in there and self._has_other(uid, heard)):
                del self._heard[uid]
                self._tell(heard.key)
        for uid in self._silent.keys() - there:
            del self._silent[uid]

    def _has_other(self, uid: str, heard: _Heard) -> bool:
        return any(other != uid and one.report.uid == heard.report.uid for other, one in self._heard.items())

    def _tell(self, key: tuple[str, Key]) -> None:
        if key[0] in self._listeners:
            self._listeners[key[0]](key[1])


def parsed(answer: Any) -> Report:
    """A report; ActionError when it is none. Nothing in it is believed to be short or few."""
    try:
        whose = answer["object"] or {}
        found = [
            Finding(*(str(one[part])[:_MAX_MESSAGE] for part in ("type", "name", "reason", "message")))
            for one in answer["findings"][:100]
        ]
        types = tuple(map(str, answer["types"][:10]))
        waiting = tuple(sorted((str(name), str(why)) for name, why in (answer.get("waiting") or {}).items())[:20])
        return Report(str(whose.get("uid", "")), types, tuple(sorted(found, key=_order)), waiting)
    except (AttributeError, KeyError, TypeError) as error:
        raise ActionError(f"that is no report: {error!r}") from error


async def _over_http(session: aiohttp.ClientSession, url: str) -> Any:
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise ActionError(f"{url}: {response.status}")
            text = await response.content.read(MAX_BYTES + 1)
            while len(text) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                text += more
            if len(text) > MAX_BYTES:
                raise ActionError(f"{url}: the answer is over {MAX_BYTES} bytes")
            return orjson.loads(text)
    except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError) as error:
        raise ActionError(f"{url}: {str(error) or type(error).__name__}") from error


def _order(one: Finding) -> tuple[bool, str, str]:
    """What stands for all comes first: a missing permission, then by name."""
    return one.reason not in (findings.FORBIDDEN, findings.CREDENTIALS), one.name, one.reason


def _condition(type_: str, found: Sequence[Finding]) -> Condition:
    if not found:
        return Condition(type_, "True")
    told = list(dict.fromkeys(f"{one.name!r}: {one.message}" if one.name else one.message for one in found))
    message = "; ".join(told)
    if len(message) > _MAX_MESSAGE:
        message = f"{message[: _MAX_MESSAGE - 1]}…"
    return Condition(type_, "False", found[0].reason, message)


def _kept(one: Object) -> Condition:
    return Condition(one["type"], one.get("status", "Unknown"), one.get("reason", ""), one.get("message", ""))


def _key(pod: Object) -> tuple[str, Key]:
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    return str(labels.get("controller")), Key(meta.get("namespace") or "", str(labels.get("owner-name")))


def _url(pod: Object) -> str:
    """Where a pod that runs is asked; empty: it does not run, or serves nothing."""
    status, meta = pod.get("status") or {}, pod["metadata"]
    address, port = status.get("podIP"), _port(pod)
    if meta.get("deletionTimestamp") or status.get("phase") != "Running" or not address or not port:
        return ""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}/findings"


def _port(pod: Object) -> int:
    for container in (pod.get("spec") or {}).get("containers") or []:
        for port in container.get("ports") or []:
            if port.get("name") == "metrics":
                return int(port.get("containerPort") or 0)
    return 0
