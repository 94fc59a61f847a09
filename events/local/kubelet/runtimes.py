"""What runs containers: the contract, and processes of this machine, which keep it; `engines` does with real ones."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Protocol, cast

from events.local.kubelet import processes
from events.local.kubelet.forking import Forker, Unavailable
from events.local.kubelet.processes import Launch
from events.threads import in_thread


class Runtime(Protocol):
    """Starts what a `Launch` says; every container is known by its mark (`node/pod/name/life/`)."""

    @property
    def scheme(self) -> str:
        """What ids of containers begin with."""

    async def start(
        self, launch: Launch, *, stdin: int | None, stdout: int | None, stderr: int | None
    ) -> asyncio.subprocess.Process:
        """A process that runs as long as what was started, has its streams and ends with its code. Raises StartError.

        With `launch.is_beside` it is another process of that container, else the first one of a new container.
        """

    async def signal(self, process: asyncio.subprocess.Process, mark: str, number: int) -> None:
        """To the first process of a container; SIGKILL to all of it. One that has ended is no mistake."""

    async def clear(self, process: asyncio.subprocess.Process, mark: str) -> None:
        """The first process has ended: so does whatever else there is of the container."""

    async def end(self, node: str) -> int:
        """End all containers of a node, of an earlier life of it, too; how many processes or containers."""


class Processes:
    """Process groups of this machine."""

    scheme = "process"

    def __init__(self, forker: Forker | None = None) -> None:
        self._forker = forker

    async def start(
        self, launch: Launch, *, stdin: int | None, stdout: int | None, stderr: int | None
    ) -> asyncio.subprocess.Process:
        is_plain = not launch.tty and not launch.is_beside and stdout == stderr == asyncio.subprocess.PIPE
        if self._forker is not None and is_plain:
            with contextlib.suppress(Unavailable):
                child = await processes.fork(self._forker, launch, wants_stdin=stdin is not None)
                return cast("asyncio.subprocess.Process", child)  # it has what a container needs of one
        return await processes.start(launch, stdin=stdin, stdout=stdout, stderr=stderr)

    async def signal(self, process: asyncio.subprocess.Process, mark: str, number: int) -> None:  # noqa: ARG002 - by pid
        if process.returncode is not None:
            return
        if number == signal.SIGKILL:
            processes.signal_group(process.pid, number)
        else:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def clear(self, process: asyncio.subprocess.Process, mark: str) -> None:
        processes.signal_group(process.pid, signal.SIGKILL)
        await in_thread(lambda: processes.end_marked(mark), "container end")

    async def end(self, node: str) -> int:
        return await in_thread(lambda: processes.end_marked(f"{node}/"), "left-over processes")
