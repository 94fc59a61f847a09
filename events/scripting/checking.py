"""Whether a program can be compiled, asked synchronously by validation: a worker that lives for this one question."""

from __future__ import annotations

import socket
import subprocess
from typing import Literal

from events.scripting import frames
from events.scripting.frames import Kind, Operation, Status
from events.scripting.link import CannotStart, Limits, command, describe

_KINDS = {"jq": Kind.JQ, "lua": Kind.LUA_TRANSFORM}


def check(kind: Literal["jq", "lua"], text: str, limits: Limits | None = None) -> str | None:
    """What is wrong with a program, with its line; None when it compiles. Blocks for about 60 ms."""
    limits = limits or Limits()
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own worker, no shell
                command(limits), stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={}
            )
        with process:
            try:
                ours.settimeout(limits.patience)
                definition = _KINDS[kind].value + text.encode("utf-8", "replace")
                ours.sendall(frames.request(Operation.DEFINE, 0, definition))
                ours.sendall(frames.request(Operation.COMPILE, 0, b""))
                ours.shutdown(socket.SHUT_WR)
                answers = _answers(ours)
            except OSError:
                answers = []
            finally:
                process.kill()
    return _verdict(answers, process.returncode)


def _answers(ours: socket.socket) -> list[tuple[Status, str]]:
    incoming, found = frames.Frames(frames.ANSWER), []
    while received := ours.recv(1 << 16):
        for (status,), payload in incoming.feed(received):
            found.append((Status(status), payload.decode("utf-8", "replace")))
    return found


def _verdict(answers: list[tuple[Status, str]], returncode: int) -> str | None:
    match answers:
        case [_, (Status.DATA, _)]:
            return None
        case [_, (_, message)]:
            return message
        case [_]:
            return "cannot be compiled: it takes too much time or memory"
    raise CannotStart(f"the script worker {describe(returncode)} at start")
