"""Probes: the state machine of one (pure), and one look at a container."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from events.errors import KeryxError

Object = dict[str, Any]
Exec = Callable[[list[str], float], Awaitable[tuple[int, str]]]
"""Run a command in the container within seconds: its exit code and what it said."""

_SHOWN = 10 * 1024
_MOST_REDIRECTS = 10
_HEALTH = "/grpc.health.v1.Health/Check"
_LONGEST_NAME = 127
_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
USER_AGENT = "kube-probe/1.33"


@dataclass
class Prober:
    """Counts the outcomes of one probe; `passed` is None until it has decided."""

    spec: Object
    passed: bool | None = None
    _in_a_row: int = 0
    _last: bool | None = None
    last_message: str = field(default="", init=False)

    @property
    def delay(self) -> float:
        return float(self.spec.get("initialDelaySeconds") or 0)

    @property
    def period(self) -> float:
        return float(self.spec.get("periodSeconds") or 10)

    @property
    def timeout(self) -> float:
        return float(self.spec.get("timeoutSeconds") or 1)

    def saw(self, *, is_success: bool, message: str = "") -> bool:
        """Count one outcome; whether the decision changed."""
        self._in_a_row = self._in_a_row + 1 if is_success is self._last else 1
        self._last, self.last_message = is_success, message
        wanted = "successThreshold" if is_success else "failureThreshold"
        threshold = int(self.spec.get(wanted) or (1 if is_success else 3))
        if self._in_a_row < threshold or self.passed is is_success:
            return False
        self.passed = is_success
        return True


def port_of(container: Object, port: Any) -> int:
    """A port by number or by the name of one of the container's. Raises LookupError."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for one in container.get("ports") or ():
        if one.get("name") == port:
            return int(one["containerPort"])
    raise LookupError(f'the container has no port named "{port}"')


async def look(probe: Object, container: Object, address: str, run: Exec, timeout: float) -> tuple[bool, str]:
    """Whether the container passes now, and why not."""
    try:
        async with asyncio.timeout(timeout + (1 if probe.get("exec") else 0)):
            if probe.get("exec"):
                code, said = await run(list(probe["exec"].get("command") or ()), timeout)
                return code == 0, said[:_SHOWN] or f"exit code {code}"
            if probe.get("httpGet"):
                return await _http(probe["httpGet"], container, address)
            if probe.get("tcpSocket"):
                return await _tcp(probe["tcpSocket"], container, address)
            if probe.get("grpc"):
                return await _grpc(probe["grpc"], address, timeout)
    except TimeoutError:
        return False, f"no answer within {timeout:g}s"
    except (OSError, aiohttp.ClientError, KeryxError, LookupError, ValueError) as error:
        return False, str(error) or type(error).__name__
    return False, "this node knows httpGet, tcpSocket, grpc and exec probes"


async def _http(spec: Object, container: Object, address: str) -> tuple[bool, str]:
    scheme, host = str(spec.get("scheme") or "HTTP").lower(), spec.get("host") or address
    port = port_of(container, spec["port"])
    path = str(spec.get("path") or "/")
    url = f"{scheme}://{host}:{port}/{path.removeprefix('/')}"
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    headers |= {one["name"]: one.get("value", "") for one in spec.get("httpHeaders") or ()}
    connector = aiohttp.TCPConnector(ssl=False, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers=headers, max_redirects=_MOST_REDIRECTS) as answer,
    ):
        good = 200 <= answer.status < 400
        return good, "" if good else f"HTTP probe failed with statuscode: {answer.status}"


async def _tcp(spec: Object, container: Object, address: str) -> tuple[bool, str]:
    _, writer = await asyncio.open_connection(spec.get("host") or address, port_of(container, spec["port"]))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True, ""


async def _grpc(spec: Object, address: str, timeout: float) -> tuple[bool, str]:
    """The health service of gRPC. Its two messages are a text and a number: they are written and read here."""
    try:
        import grpc.aio  # an extra, and slow to import
    except ImportError:
        return False, "grpc probes need grpcio: pip install 'keryx[grpc]'"
    name = str(spec.get("service") or "").encode()
    if len(name) > _LONGEST_NAME:
        return False, f"the name of a service has at most {_LONGEST_NAME} bytes"
    async with grpc.aio.insecure_channel(f"{address}:{int(spec['port'])}") as channel:
        try:
            answer = await channel.unary_unary(_HEALTH)(b"\x0a" + bytes([len(name)]) + name, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return False, f"{error.code().name}: {error.details()}"
    state = _STATES[answer[1]] if len(answer) == 2 and answer[0] == 8 and answer[1] < len(_STATES) else _STATES[0]
    return state == "SERVING", "" if state == "SERVING" else f'service unhealthy (responded with "{state}")'
