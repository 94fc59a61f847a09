"""Ask a nats-server of our own how it is, over one short NATS conversation. Called by `embedded.py`.

Asked of the system account and not of the HTTP monitoring port, which would tell any local user what is on the bus.
The whole health report, not only "is JetStream enabled": nats-server 2.15 answers a full disk by refusing writes to the
one stream, for ever and without telling the publisher, while JetStream stays enabled and its API answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from events.errors import Unavailable

_INBOX = "_INBOX.keryx"
_HEALTH = "$SYS.REQ.SERVER.PING.HEALTHZ"


@dataclass(frozen=True, slots=True)
class Health:
    """What the server says of itself; no errors is well."""

    version: str
    has_jetstream: bool
    errors: tuple[str, ...] = ()

    @property
    def curable(self) -> tuple[str, ...]:
        """The errors that a restart can cure; a stream that could not be recovered stays so."""
        return tuple(error for error in self.errors if "could not be recovered" not in error)


async def ask(port: int, name: str, username: str, password: str, *, timeout: float) -> Health:
    """The health of the server called `name` on this port, or Unavailable."""
    try:
        return await _ask(port, name, username, password, timeout)
    except TimeoutError as error:
        raise Unavailable(f"no answer within {timeout:g} s") from error
    except (OSError, ValueError, EOFError) as error:
        raise Unavailable(str(error)) from error


async def _ask(port: int, name: str, username: str, password: str, timeout: float) -> Health:
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await _converse(reader, writer, name, {"user": username, "pass": password})
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, login: dict[str, str]
) -> Health:
    operation, _, text = (await reader.readline()).partition(b" ")
    if operation != b"INFO":
        raise ConnectionError("no nats-server answers")
    info = json.loads(text)
    if info.get("server_name") != name:  # before it is told the password
        raise ConnectionError(f"another nats-server ({info.get('server_name')}) answers")
    options = {**login, "verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 1}
    options |= {"name": "keryx health", "lang": "python", "version": "1"}
    question = b'{"details":true}'
    writer.write(
        f"CONNECT {json.dumps(options)}\r\nSUB {_INBOX} 1\r\nPUB {_HEALTH} {_INBOX} {len(question)}\r\n".encode()
        + question
        + b"\r\n"
    )
    await writer.drain()
    data = (await _reply(reader)).get("data") or {}
    errors = [str(error.get("error", error)) for error in data.get("errors") or ()]
    if data.get("error"):
        errors.append(str(data["error"]))
    return Health(str(info.get("version", "")), bool(info.get("jetstream")), tuple(errors))


async def _reply(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The payload of the first message; a server without health service (no responders) counts as silent."""
    while line := await reader.readline():
        operation, *arguments = line.split()
        if operation == b"-ERR":
            raise ConnectionError(f"refused: {line[5:].decode(errors='replace').strip()}")
        if operation == b"HMSG":
            raise ConnectionError("it does not report its health")
        if operation == b"MSG":
            reply: dict[str, Any] = json.loads(await reader.readexactly(int(arguments[-1])))
            return reply
    raise ConnectionError("it closed the connection")
