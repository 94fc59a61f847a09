"""The JetStream API in the few calls that we use: JSON requests, and its errors as ours."""

from __future__ import annotations

from typing import Any

import orjson

from eventbus.jetstream.link import Link
from events.errors import BusError, Conflict, TooLarge, Unavailable

WRONG_LAST_SEQUENCE = 10071
STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
CONSUMER_NOT_FOUND = 10014
NO_MESSAGE = 10037
_MESSAGE_TOO_LARGE = 10054
# Of the account, of the cluster, of the server.
_NO_ROOM = (10002, 10023, 10047)


class ApiError(BusError):
    """The JetStream API refused; `code` is its error code, 0 when it gave none."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} (JetStream error {code})")
        self.code = code


class NoRoom(Unavailable):
    """The broker has less room than was asked for."""


async def call(link: Link, subject: str, body: Any = None, *, seconds: float = 5) -> dict[str, Any]:
    """The answer to `$JS.API.<subject>`; ApiError when it is an error, Unavailable when there is none."""
    payload = b"" if body is None else orjson.dumps(body)
    return answer((await link.request(f"$JS.API.{subject}", payload, seconds)).data)


def answer(data: bytes) -> dict[str, Any]:
    """An answer of the API or a publish acknowledgement, decoded; the error in it raised."""
    decoded: dict[str, Any] = orjson.loads(data)
    error = decoded.get("error")
    if error is None:
        return decoded
    code, description = int(error.get("err_code", 0)), str(error.get("description", "refused"))
    if code == WRONG_LAST_SEQUENCE:
        raise Conflict(description)
    if code == _MESSAGE_TOO_LARGE:
        raise TooLarge(description)
    if code in _NO_ROOM:
        raise NoRoom(f"{description} (JetStream error {code})")
    if int(error.get("code", 0)) >= 500:
        raise Unavailable(f"{description} (JetStream error {code})")
    raise ApiError(code, description)
