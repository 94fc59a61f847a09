"""The four endpoints, each for a request that is authorised and a pod that was found."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from events.local.apiserver.pods import channels, forwarding, options
from events.local.apiserver.pods.kubelet import Kubelets, Pod
from events.local.apiserver.status import StatusError

FIRST_PIECE_SECONDS = 0.5
"""How long the headers of a log wait for its first piece, or for the refusal that comes instead."""
LOOK_SECONDS = 5.0
"""How often a log that is followed and silent looks whether its client is still there."""


async def log(request: web.Request, pod: Pod, kubelets: Kubelets) -> web.StreamResponse:
    """GET …/log. 204 for a pod without a node; raises StatusError."""
    asked = options.log(pod, request.query, datetime.now(UTC))
    if not pod["spec"].get("nodeName"):
        return web.Response(status=204)
    pieces = aiter(kubelets.of(pod).logs(pod, asked))
    waiting = asyncio.ensure_future(_next(pieces))
    try:
        await asyncio.wait({waiting}, timeout=FIRST_PIECE_SECONDS)
        if waiting.done():
            waiting.result()  # a refusal is still a plain answer
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while not _has_gone(request):
            await asyncio.wait({waiting}, timeout=LOOK_SECONDS)
            if waiting.done():
                piece = waiting.result()
                if piece is None:
                    break
                with contextlib.suppress(ConnectionError):  # seen in a moment
                    await response.write(piece)
                waiting = asyncio.ensure_future(_next(pieces))
        return response
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await _close(pieces)


def _has_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


async def _close(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


async def execute(request: web.Request, pod: Pod, kubelets: Kubelets) -> web.StreamResponse:
    """GET or POST …/exec. Raises StatusError before the websocket is open, reports on it afterwards."""
    asked = options.execution(pod, request.query)
    kubelet = kubelets.of(pod)
    socket = await _open(request, channels.PROTOCOLS, channels.LARGEST_MESSAGE)
    await channels.serve(socket, asked, partial(kubelet.exec, pod, asked))
    return socket


async def attach(request: web.Request, pod: Pod, kubelets: Kubelets) -> web.StreamResponse:
    """GET or POST …/attach. As `execute`."""
    asked = options.execution(pod, request.query, attaches=True)
    kubelet = kubelets.of(pod)
    socket = await _open(request, channels.PROTOCOLS, channels.LARGEST_MESSAGE)
    await channels.serve(socket, asked, partial(kubelet.attach, pod, asked))
    return socket


async def forward_ports(request: web.Request, pod: Pod, kubelets: Kubelets) -> web.StreamResponse:
    """GET or POST …/portforward. Raises StatusError before the websocket is open."""
    if not pod["spec"].get("nodeName"):
        raise StatusError(400, "BadRequest", f"pod {pod['metadata']['name']} does not have a host assigned")
    connect = partial(kubelets.of(pod).connect, pod)
    is_tunnel = forwarding.TUNNEL in _protocols(request)
    ports = [] if is_tunnel else options.ports(request.query) if _is_upgrade(request) else []
    accepted = (forwarding.TUNNEL,) if is_tunnel else (forwarding.CHANNELS,)
    socket = await _open(request, accepted, forwarding.LARGEST_MESSAGE)
    if is_tunnel:
        await forwarding.serve_tunnel(socket, connect)
    else:
        await forwarding.serve_channels(socket, ports, connect)
    return socket


async def _open(request: web.Request, accepted: tuple[str, ...], largest: int) -> web.WebSocketResponse:
    """The websocket of a request that asks for one in a protocol we speak. Raises StatusError."""
    if not _is_upgrade(request):
        raise StatusError(400, "BadRequest", "Upgrade request required")
    if not _protocols(request) & set(accepted):
        spoken = ", ".join(accepted)
        text = f"unable to upgrade: the client must speak one of {spoken}; kubectl does since 1.31, for exec since 1.30"
        raise StatusError(403, "Forbidden", text)
    socket = web.WebSocketResponse(protocols=accepted, max_msg_size=largest)
    await socket.prepare(request)
    return socket


def _is_upgrade(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _protocols(request: web.Request) -> set[str]:
    texts = request.headers.getall("Sec-WebSocket-Protocol", [])
    return {name.strip() for text in texts for name in text.split(",")}
