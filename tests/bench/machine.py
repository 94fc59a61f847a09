"""Rows that measure `keryx up`: how soon it is ready, what it takes at rest, and how fast workflows end on it.

Each row has its own data directory and ports, and prints the load of the machine it was taken on.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from support.keryx import Keryx, until
from support.ports import free_port

from events import yamls
from events.kube.client import KubeClient

WALK_THROUGH = Path(__file__).parents[2] / "examples" / "walkthrough"
NAMESPACE = "argo-events"
SECONDS = 180.0
"""For what must happen, on a machine that does other things."""
BURST, AT_ONCE = 1000, 32
IDLE_SECONDS = 60.0
Object = dict[str, Any]
Found = dict[str, float]
_TICKS = os.sysconf("SC_CLK_TCK")


class Up:
    """A `keryx up` that runs."""

    def __init__(self, process: Keryx, api: KubeClient, ready_seconds: float) -> None:
        self.process, self.api, self.ready_seconds = process, api, ready_seconds

    @property
    def pid(self) -> int:
        assert self.process.process is not None
        return self.process.process.pid

    async def writes(self) -> int:
        """How many there have been so far: versions are given out one after the other."""
        pods = await self.api.resource("v1", "Pod")
        return int((await self.api.list(pods))["metadata"]["resourceVersion"])

    async def requests(self) -> Counter[str]:
        """`verb resource` -> how many, as the API server counts them."""
        found: Counter[str] = Counter()
        link = await self.api._connection.link()
        async with link.session.get(f"{link.server}/metrics", **link.arguments) as answer:
            text = await answer.text()
        for line in text.splitlines():
            if line.startswith("apiserver_request_total{"):
                names, _, count = line.removeprefix("apiserver_request_total{").rpartition("} ")
                labels = dict(one.split("=", 1) for one in names.split(","))
                what = f"{labels['verb']} {labels['resource']} {labels['subresource']}".replace('"', "").strip()
                found[what] += int(float(count))
        return found


@asynccontextmanager
async def running(directory: Path, *arguments: str) -> AsyncIterator[Up]:
    """`keryx up` on a data directory, a new one or one that was used before."""
    data, began = directory / "data", time.perf_counter()
    (data / "kubeconfig").unlink(missing_ok=True)  # it is written again when everything is ready
    process = Keryx(directory, "up", "--data", data, "--port", str(free_port()), *arguments)
    process.start()
    api = KubeClient(str(data / "kubeconfig"))
    try:
        await until((data / "kubeconfig").exists, SECONDS, lambda: process.err)
        yield Up(process, api, time.perf_counter() - began)
    finally:
        await api.aclose()
        if process.is_running:
            await process.stop(60)
        process.close()


# ---- what processes take


def tree(pid: int) -> list[int]:
    """A process with all that it started, as far as it is there."""
    below: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            below.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for one in found:
        found += below.get(one, ())
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pids: list[int]) -> float:
    """Of processes, and of those that they have waited for."""
    return sum(sum(int(one) for one in fields[11:15]) for pid in pids if (fields := _stat(pid))) / _TICKS


def memory(pid: int, field: str) -> float:
    """MiB, of a field of /proc/PID/status."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)


def named(pid: int) -> str:
    """What a process is, in a word."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "gone"
    known = ("eventsource-service", "sensor-service", "nats_reloader", "nats-server", " up ", "sleep infinity")
    return next((one.strip() for one in known if one in words), words[:30])


# ---- rows


async def ready(directory: Path) -> Found:
    """From the command to its kubeconfig, on a new data directory and on the same once more."""
    async with running(directory) as up:
        first = up.ready_seconds
    async with running(directory) as up:
        return {"ready s": first, "again s": up.ready_seconds, "RSS MiB": memory(up.pid, "VmRSS")}


async def idle(directory: Path) -> Found:
    """At rest, with the walk-through applied: the whole tree of processes."""
    async with running(directory) as up:
        began = time.perf_counter()
        await walk_through(up)
        applied = time.perf_counter() - began
        await asyncio.sleep(10)
        pids, requests = tree(up.pid), await up.requests()
        used, mine = cpu_seconds(pids), cpu_seconds([up.pid])
        await asyncio.sleep(IDLE_SECONDS)
        used, mine = cpu_seconds(pids) - used, cpu_seconds([up.pid]) - mine
        found = {"CPU %": used / IDLE_SECONDS * 100, "CPU % of up": mine / IDLE_SECONDS * 100}
        found["walk-through ready s"] = applied
        found["requests/min"] = (await up.requests() - requests).total()
        for pid in pids:
            name = f"{named(pid)} MiB"
            while name in found:
                name += "'"
            found[name] = memory(pid, "VmRSS")
        found["all MiB"] = sum(memory(pid, "VmRSS") for pid in pids)
        return found


async def walk_through(up: Up) -> str:
    """Apply the objects; the URL once everything is ready."""
    port = free_port()
    await up.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for file in sorted(WALK_THROUGH.glob("*.yaml")):
        for obj in yamls.load_all(file.read_text().replace("9100", str(port))):
            await up.api.create(obj, namespace=NAMESPACE)
    for kind in ("EventBus", "EventSource", "Sensor"):
        await _until(up, lambda kind=kind: _deployed(up, kind))
    await _until(up, lambda: _answers(f"http://localhost:{port}/example"))
    return f"http://localhost:{port}/example"


async def _until(up: Up, look: Callable[[], Any]) -> None:
    ends = time.monotonic() + SECONDS
    while not await look():
        assert time.monotonic() < ends, up.process.err[-2000:]
        await asyncio.sleep(0.1)


async def _deployed(up: Up, kind: str) -> bool:
    resource = await up.api.resource("argoproj.io/v1alpha1", kind)
    several = (await up.api.list(resource, namespace=NAMESPACE))["items"]
    states = [{one["type"]: one["status"] for one in it.get("status", {}).get("conditions") or ()} for it in several]
    return bool(states) and all(one and all(it == "True" for it in one.values()) for one in states)


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.post(url, json={"message": "ready?"}) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def posts(directory: Path, pause: float) -> Found:
    """From a POST to its Workflow's Succeeded, one after the other, with `pause` seconds from one to the next."""
    async with running(directory) as up:
        url = await walk_through(up)
        ended, resource = asyncio.Queue[str](), await up.api.resource("argoproj.io/v1alpha1", "Workflow")
        watching = asyncio.create_task(_ended(up, resource, ended))
        took = []
        try:
            async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
                await ended.get()  # that of `walk_through`
                begin = time.monotonic()
                while len(took) < 200 and time.monotonic() < begin + 150:
                    began = time.perf_counter()
                    async with session.post(url, json={"message": f"number {len(took)}"}) as answer:
                        assert answer.status == 200
                    await ended.get()
                    took.append((time.perf_counter() - began) * 1000)
                    await asyncio.sleep(max(0.0, pause - took[-1] / 1000))
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        cuts = statistics.quantiles(took, n=100)
        return {"posts": len(took), "p50_ms": statistics.median(took), "p99_ms": cuts[98], "max ms": max(took)}


async def _ended(up: Up, resource: Any, ended: asyncio.Queue[str]) -> None:
    """Put the name of each Workflow that has succeeded."""
    seen: set[str] = set()
    while True:
        async with aclosing(up.api.watch(resource)) as events:  # type: ignore[type-var]  # every watch is a generator
            async for event in events:
                name, status = event["object"]["metadata"].get("name", ""), event["object"].get("status") or {}
                assert status.get("phase") not in ("Failed", "Error"), status
                if status.get("phase") == "Succeeded" and name not in seen:
                    seen.add(name)
                    ended.put_nowait(name)


def one_step(name: str) -> Object:
    """What the throughput is measured with."""
    container = {"image": "argoproj/argosay:v2", "command": ["/argosay"], "args": ["echo", "hello"]}
    spec = {"entrypoint": "main", "templates": [{"name": "main", "container": container}]}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": meta, "spec": spec}


async def burst(directory: Path, count: int = BURST) -> Found:
    """So many Workflows of one step, created at once: from the first create to the last Succeeded."""
    async with running(directory) as up:
        resource = await up.api.resource("argoproj.io/v1alpha1", "Workflow")
        ended = asyncio.Queue[str]()
        watching = asyncio.create_task(_ended(up, resource, ended))
        requests, writes, used = await up.requests(), await up.writes(), cpu_seconds([up.pid])
        gate, began = asyncio.Semaphore(AT_ONCE), time.perf_counter()

        async def create(number: int) -> None:
            async with gate:
                await up.api.create(one_step(f"w{number}"))

        created = 0.0
        try:
            async with asyncio.timeout(10 * SECONDS):
                await asyncio.gather(*(create(number) for number in range(count)))
                created = time.perf_counter() - began
                for _ in range(count):
                    await ended.get()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        took = time.perf_counter() - began
        await asyncio.sleep(2)  # labels of pods, the archive
        asked = await up.requests() - requests
        for what, number in asked.most_common(12):
            print(f"    {number / count:6.2f} {what}")
        return {
            "per_s": count / took,
            "created s": created,
            "CPU s each": (cpu_seconds([up.pid]) - used) / count,
            "requests each": asked.total() / count,
            "writes each": (await up.writes() - writes) / count,
            "most RSS MiB": memory(up.pid, "VmHWM"),
        }


ROWS: dict[str, Callable[[Path], Any]] = {
    "up, ready": ready,
    "up, idle": idle,
    "up, POST to Succeeded": lambda directory: posts(directory, 0.0),
    "up, POST to Succeeded, one in 0.7 s": lambda directory: posts(directory, 0.7),
    "up, 1000 workflows": burst,
    "up, 200 workflows": lambda directory: burst(directory, 200),
}


async def measure(directory: Path, only: str) -> None:
    """Each row once; what it found in a line of its own."""
    for number, (name, row) in enumerate(ROWS.items()):
        if only in name:
            before = os.getloadavg()[0]
            found = await row(directory / f"up{number}")
            shown = "  ".join(f"{key} {value:.4g}" for key, value in found.items())
            print(f"{name}: {shown}  (load {before:.1f} before, {os.getloadavg()[0]:.1f} after)", flush=True)
