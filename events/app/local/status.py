"""`keryx status`: whether it runs, where, and which of its objects need somebody to look."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from events.app.local import health
from events.app.local.place import LEAST_BYTES, Place, State
from events.errors import ActionError, KeryxError
from events.kube.api import KubeError
from events.kube.client import KubeClient
from events.local.kubelet import processes

READY, NOT_RUNNING, NOT_READY = 0, 1, 3
"""Exit codes; 2 is for options that cannot be used."""
_SECONDS = 10.0
_MOST = 12
Object = dict[str, Any]
Row = tuple[str, str]


def status(place: Place) -> tuple[int, list[Row]]:
    """The exit code, and name and value of each line."""
    state = place.state()
    if state is None:
        return NOT_RUNNING, list(_stopped(place))
    rows = list(_running(place, state))
    if not state.is_ready:
        return NOT_READY, rows
    try:
        objects = asyncio.run(_objects(place.kubeconfig))
    except (KeryxError, TimeoutError) as error:
        return NOT_READY, [
            ("state", "does not answer"),
            *rows[1:],
            ("why", str(error) or f"no answer in {_SECONDS:g} s"),
        ]
    return READY, [*rows, *told(objects)]


def _stopped(place: Place) -> Iterator[Row]:
    yield "state", "not running"
    there = place.data.exists()
    yield "data", f"{place.data}{'; `keryx up` goes on with it' if there else ' (nothing there)'}"
    left = processes.marked([f"{processes.mark_of(place.data.absolute() / 'node')}/"])
    if left:
        yield "left over", f"{len(left)} processes of one that was killed; `keryx down` ends them"


def _running(place: Place, state: State) -> Iterator[Row]:
    waiting = [str(name) for name, seconds, _ in state.steps if seconds is None]
    yield "state", "ready" if state.is_ready else f"starting: {', '.join(waiting) or 'program'}"
    yield "pid", f"{state.pid}, since {state.since}"
    if state.url:
        yield "server", state.url
        yield "kubeconfig", str(place.kubeconfig.absolute())
    if state.metrics:
        yield "metrics", state.metrics
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(place.data).free
        yield "data", f"{place.data.absolute()} ({_bytes(free)} free on its disk)"
        if free < LEAST_BYTES:
            yield "disk", "full: what is written is refused until there is room; it goes on by itself then"
    marks = [f"{processes.mark_of(place.data.absolute() / 'node')}/"]
    yield "processes", f"{len(processes.marked(marks))} of pods"
    for note in state.notes:
        yield "note", str(note)


async def _objects(kubeconfig: Path) -> list[Object]:
    """Everything that people look at. Raises ActionError, UserError, TimeoutError."""
    client = KubeClient(str(kubeconfig), deadline=_SECONDS)
    found: list[Object] = []
    try:
        async with asyncio.timeout(_SECONDS):
            for kind, version in health.KINDS.items():
                with contextlib.suppress(_Missing):
                    for one in await _listed(client, version, kind):
                        found.append(one | {"kind": kind})
    finally:
        await client.aclose()
    return found


class _Missing(ActionError):
    """The kind is not served."""


async def _listed(client: KubeClient, version: str, kind: str) -> list[Object]:
    try:
        return list((await client.list(await client.resource(version, kind))).get("items") or ())
    except KubeError as error:
        if error.status == 404:
            raise _Missing(str(error)) from error
        raise


def told(objects: Sequence[Object]) -> Iterator[Row]:
    """One line for each kind, then one for each object that needs somebody, then the ports that pods did not get."""
    for kind in health.KINDS:
        counted = Counter(health.of(one).word for one in objects if one["kind"] == kind)
        if counted:
            yield f"{kind.lower()}s" if kind != "EventBus" else "eventbuses", _counts(counted)
    bad = [one for one in objects if not health.of(one).is_well]
    # What waits may still need a hand; what has failed will not change any more.
    for one in sorted(bad, key=lambda it: health.of(it).word == "failed")[:_MOST]:
        yield health.of(one).word, f"{health.name_of(one)}: {health.of(one).reason}"
    if len(bad) > _MOST:
        yield "", f"and {len(bad) - _MOST} more"
    yield from _ports(objects)


def _ports(objects: Sequence[Object]) -> Iterator[Row]:
    """Ports of localhost that not everybody has who asked for them, each once."""
    wanting: dict[tuple[int, str], list[str]] = {}
    for one in objects:
        for port, why in health.ports(one) if one["kind"] == "Pod" else ():
            wanting.setdefault((port, why), []).append(health.name_of(one))
    for (port, why), pods in sorted(wanting.items()):
        others = f" and {len(pods) - 1} more" if len(pods) > 1 else ""
        yield "localhost", f"{port} {why}; asked for by {pods[0]}{others}"


def _counts(counted: Counter[health.Word]) -> str:
    words = {
        "ready": "ready",
        "runs": "running",
        "waits": "not ready",
        "ended": "done",
        "failed": "failed",
        "goes": "going",
    }
    return ", ".join(f"{counted[word]} {text}" for word, text in words.items() if counted[word])  # type: ignore[index]


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count >> 20} MiB"
