"""`keryx up` as a process, driven by the real kubectl."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from support import kubectls
from support.keryx import Keryx, until

from events.local.kubelet import processes

KUBECTL = kubectls.found().get("1.33") or kubectls.newest()
SECONDS = 60.0
"""For what takes a second on a machine that has nothing else to do."""


class Machine:
    """One data directory; may be killed and started again."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.data, self.home = directory / "data", directory
        self.kubeconfig = self.data / "kubeconfig"
        self.command, self.seconds = KUBECTL, SECONDS
        self.process = Keryx(directory, "up", "--data", str(self.data), *arguments)

    async def start(self) -> None:
        """Returns once it is ready."""
        self.kubeconfig.unlink(missing_ok=True)
        self.process.start()
        await until(self.kubeconfig.exists, self.seconds, lambda: self.process.err)

    async def begin(self, *arguments: str) -> asyncio.subprocess.Process:
        """A kubectl that runs."""
        pipe = asyncio.subprocess.PIPE
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "KUBECONFIG": str(self.kubeconfig)}
        return await asyncio.create_subprocess_exec(
            str(self.command), *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int | None, str, str]:
        """Exit code, stdout, stderr."""
        process = await self.begin(*arguments)
        async with asyncio.timeout(self.seconds):
            out, err = await process.communicate(stdin.encode())
        return process.returncode, out.decode(), err.decode()

    async def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """What a kubectl says that succeeds."""
        code, out, err = await self.run(*arguments, stdin=stdin)
        assert code == 0, (arguments, out, err, self.process.err[-3000:])
        return out

    async def apply(self, *objects: dict[str, Any]) -> None:
        await self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    async def get(self, *what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.kubectl("get", *what, "-o", "json"))
        return found

    async def until(self, is_so: Callable[[dict[str, Any]], Any], *what: str) -> dict[str, Any]:
        """The object once it is so."""
        deadline = time.monotonic() + self.seconds
        while True:
            found = await self.get(*what)
            if is_so(found):
                return found
            assert time.monotonic() < deadline, (what, found.get("status"), self.process.err[-3000:])
            await asyncio.sleep(0.1)

    async def phase(self, name: str, *phases: str) -> dict[str, Any]:
        """The pod once it is in one of these phases."""
        return await self.until(lambda it: it["status"]["phase"] in phases, "pod", name)

    def processes(self) -> list[int]:
        """Of all its containers."""
        mark = hashlib.sha256(str((self.data / "node").resolve()).encode()).hexdigest()[:12]
        return processes.marked([f"{mark}/"])


@asynccontextmanager
async def machine(directory: Path, *arguments: str) -> AsyncIterator[Machine]:
    """One for the time of a test; nothing of it is left afterwards."""
    found = Machine(directory, *arguments)
    await found.start()
    try:
        yield found
        if found.process.is_running:
            assert await found.process.stop(SECONDS) == 0
        await until(lambda: not found.processes(), 10, found.processes)
    finally:
        found.process.close()
        for pid in found.processes():
            processes.end_marked(f"{pid}/")


def pod(name: str, *command: str, image: str = "busybox", policy: str = "Never", **more: Any) -> dict[str, Any]:
    """A pod with one container `main`; `container` among `more` adds to it."""
    container = {"name": "main", "image": image} | ({"command": list(command)} if command else {})
    container |= more.pop("container", {})
    spec = {"restartPolicy": policy, "terminationGracePeriodSeconds": 2, "containers": [container]} | more
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def shell(name: str, script: str, **more: Any) -> dict[str, Any]:
    """A pod that runs a script."""
    return pod(name, "sh", "-c", script, **more)
