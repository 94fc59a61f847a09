"""What the API server asks of a kubelet, and which kubelet runs which node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from events.local.apiserver.status import StatusError

Pod = dict[str, Any]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class LogOptions:
    """Which part of a container's log. `since`: not older; `stream`: `All`, `Stdout` or `Stderr`."""

    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: datetime | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"


@dataclass(frozen=True)
class ExecOptions:
    """Which of a process's streams are wanted. An attach has no command."""

    container: str
    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class Streams(Protocol):
    """The client's end of a process. Writing waits while the client does not read; all end when it goes away."""

    async def read_stdin(self) -> bytes:
        """What was typed since; empty at the end."""

    async def write_stdout(self, data: bytes) -> None:
        """To the client."""

    async def write_stderr(self, data: bytes) -> None:
        """To the client."""

    async def next_size(self) -> tuple[int, int]:
        """Columns and rows of the client's terminal, once they change."""


class Kubelet(Protocol):
    """Runs the pods of a node. Refuses by StatusError; a call is cancelled when its client goes away."""

    def logs(self, pod: Pod, options: LogOptions) -> AsyncIterator[bytes]:
        """The log in pieces, until its end, or for ever when it is followed."""

    async def exec(self, pod: Pod, options: ExecOptions, streams: Streams) -> int:
        """Run a command in a container; its exit code."""

    async def attach(self, pod: Pod, options: ExecOptions, streams: Streams) -> int:
        """Join the container's own process; its exit code once it ends."""

    async def connect(self, pod: Pod, port: int) -> Connection:
        """A connection to a port of the pod. Raises OSError."""


@dataclass
class Kubelets:
    """The kubelets there are, by node."""

    _known: dict[str, Kubelet] = field(default_factory=dict)

    def register(self, node: str, kubelet: Kubelet) -> None:
        """From now on this kubelet runs the node."""
        self._known[node] = kubelet

    def remove(self, node: str, kubelet: Kubelet) -> None:
        """It does so no longer, unless another one has taken over."""
        if self._known.get(node) is kubelet:
            del self._known[node]

    def of(self, pod: Pod) -> Kubelet:
        """The kubelet of a pod that has a node. Raises StatusError 503 when it is not there."""
        node = pod["spec"]["nodeName"]
        found = self._known.get(node)
        if found is None:
            raise StatusError(503, "ServiceUnavailable", f'no kubelet serves the node "{node}"; start it and try again')
        return found
