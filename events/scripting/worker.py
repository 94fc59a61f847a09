"""The script worker: a small process that runs one script after the other and can do nothing else.

Called as a script by `link.py`: `python -I -S worker.py <pid of keryx> <seconds> <bytes> <folder>…`, with a socket as
standard input, no environment and nothing else open. The folders are where its modules are. It ends when the socket
does.

The deadline is the kernel's: a timer of CPU time, started anew for each request, whose signal ends the process. Nothing
in the process has to cooperate, and a machine that is busy with others takes no script's time away. RLIMIT_CPU cannot
do that: it counts a process's whole life.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from events.scripting.frames import Kind

_COMPILED = 256
_HOOK_SHARE = 0.9  # of the deadline: a Lua loop is stopped before the worker has to die
_LONGEST_MESSAGE = 2000
_BROKEN = 6  # frames.Status.BROKEN, when frames may be what cannot be imported


class Worker:
    """The programs of one worker."""

    def __init__(self, seconds: float, sandbox: str) -> None:
        self._seconds, self._sandbox = seconds, sandbox
        self._defined: dict[int, tuple[Kind, str]] = {}
        self._compiled: OrderedDict[int, Any] = OrderedDict()
        self.has_rubbish = False
        """Whether a script was stopped and its memory is still to be freed."""

    def tidy(self) -> None:
        """Free what a stopped script left behind."""
        gc.collect()
        self.has_rubbish = False

    def answer(self, operation: int, number: int, payload: bytes) -> bytes:
        """The answer to one request; nothing to a definition."""
        from events.scripting import frames
        from events.scripting.documents import InvalidDocument
        from events.scripting.lua_engine import Stopped

        if operation == frames.Operation.DEFINE:
            self._defined[number] = (frames.Kind(payload[:1]), payload[1:].decode("utf-8", "replace"))
            return b""
        try:
            program = self._program(number)
            result = b"" if operation == frames.Operation.COMPILE else program.run(payload, self._seconds * _HOOK_SHARE)
        except Stopped as error:
            self.has_rubbish = True
            return frames.answer(frames.Status.LIMIT, _message(error))
        except MemoryError:
            self.has_rubbish = True
            return frames.answer(frames.Status.LIMIT, b"out of memory")
        except (InvalidDocument, RecursionError) as error:
            return frames.answer(frames.Status.REFUSED, _message(error))
        if isinstance(result, bytes):
            return frames.answer(frames.Status.DATA, result)
        return frames.answer(frames.Status.TRUE if result else frames.Status.FALSE)

    def _program(self, number: int) -> Any:
        program = self._compiled.get(number)
        if program is None:
            program = self._compiled[number] = self._compile(*self._defined[number])
            if len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(number)
        return program

    def _compile(self, kind: Kind, text: str) -> Any:
        from events.scripting import frames, jq_engine, lua_engine

        if kind is frames.Kind.JQ:
            return jq_engine.JqProgram(text)
        return lua_engine.LuaScript(text, self._sandbox, is_filter=kind is frames.Kind.LUA_FILTER)


def _message(error: Exception) -> bytes:
    return (str(error) or type(error).__name__)[:_LONGEST_MESSAGE].encode("utf-8", "replace")


def serve(connection: socket.socket, worker: Worker, seconds: float) -> None:
    """Answer until the other side is gone; each answer at once, so that the first one missing names the guilty."""
    from events.scripting import frames

    incoming = frames.Frames(frames.REQUEST)
    connection.sendall(frames.answer(frames.Status.READY))
    while received := connection.recv(1 << 18):
        for (operation, number), payload in incoming.feed(received):
            signal.setitimer(signal.ITIMER_PROF, seconds)
            answer = worker.answer(operation, number, payload)
            if answer:
                connection.sendall(answer)
            if worker.has_rubbish:
                signal.setitimer(signal.ITIMER_PROF, 0)  # the next script must not pay for this one's memory
                worker.tidy()


def tie_to(parent: int) -> None:
    """Die with keryx, and outlive Ctrl-C: keryx ends us when it has drained."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        pr_set_pdeathsig, pr_set_no_new_privs = 1, 38
        # It comes when the *thread* that spawned us ends, which is the loop's; the end of the socket comes in any case.
        libc.prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
        libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("keryx died before its worker could start")


def give_up(memory: int) -> None:
    """All that scripts do not need: files, processes, more than `memory` bytes on top of what is used now."""
    os.environ["TZ"] = "UTC0"  # as in upstream's pods
    time.tzset()
    os.chdir("/")
    os.closerange(1, 256)
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 1),  # standard input: nothing can be opened any more
        (resource.RLIMIT_NPROC, 0),
    ]
    if sys.platform == "linux":  # macOS has this one, but does not keep it
        with open("/proc/self/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        limits.append((resource.RLIMIT_AS, size + memory))
    for limit, most in limits:
        _, allowed = resource.getrlimit(limit)
        most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(limit, (most, most))


def main() -> None:
    """Start, become small, serve."""
    parent, seconds, memory, *folders = sys.argv[1:]
    tie_to(int(parent))
    sys.path[:0] = folders
    connection = socket.socket(fileno=0)
    try:
        from events.scripting import frames, jq_engine, lua_engine  # noqa: F401 - while files can be opened

        sandbox = Path(__file__).with_name("sandbox.lua").read_text(encoding="utf-8")
        give_up(int(memory))
        serve(connection, Worker(float(seconds), sandbox), float(seconds))
    except ConnectionError:
        pass  # keryx is gone, or does not want the answer
    except Exception as error:  # noqa: BLE001 - there is nobody else to tell
        text = repr(error).encode()
        connection.sendall(struct.pack("<IB", len(text), _BROKEN) + text)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
