"""Starts containers by forking: a process with everything that `launch` needs in memory. Standard library alone.

A Python that starts anew for each container costs more than most of what containers of workflows do. Each request is
one message with six file descriptors (the word to go on, the description, the report, the three streams); the answer is
a pid. What is forked is a child of whoever started this process (CLONE_PARENT), who waits for it, and dies with it. It
begins once it is told to, so that one whose pid never arrived does nothing. Small programs of ours that stand in for
images run in the fork itself.

`forker.py CHANNEL_FD LAUNCH_FILE [PROGRAM_FILE…]`
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import platform
import signal
import socket
import sys
from types import CodeType, ModuleType
from typing import Any, NoReturn

_CLONE_PARENT = 0x00008000
_CLONE = {"x86_64": 56, "aarch64": 220, "arm64": 220}
_STREAMS = (0, 1, 2)
_HANDLES = 6
_NOT_STARTED = 126
_MOST_HANDLES = 65536


def _loaded(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _fork(libc: Any, number: int) -> int:
    """As fork, but the child is our parent's: 0 in it, else its pid. There is one thread, so nothing is locked."""
    pid = int(libc.syscall(number, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    return pid


def _become(launch: Any, handles: list[int], programs: dict[str, CodeType]) -> NoReturn:
    word, description, report, *streams = handles
    try:
        os.setsid()
        is_wanted = os.read(word, 1)
        os.close(word)
        if not is_wanted:
            os._exit(_NOT_STARTED)
        os.set_inheritable(report, False)  # noqa: FBT003  # has no names
        with open(description, "rb") as file:
            file.seek(0)
            told = json.load(file)
        for number, handle in zip(_STREAMS, streams, strict=True):
            os.dup2(handle, number)
            os.close(handle)
        program, environment = launch.prepared(told)
        code = programs.get(told["inner"].get(program, ""))
        if code is not None:
            os.close(report)
            _run(code, [program, *told["argv"][1:]], environment)
        launch.become(program, told["argv"], environment)
    except (OSError, launch.Failed, ValueError) as error:
        os.write(report, str(error).encode()[:4000])
    os._exit(_NOT_STARTED)


def _run(code: CodeType, argv: list[str], environment: dict[str, str]) -> NoReturn:
    """A program of ours, to its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    result = 1
    try:
        exec(code, {"__name__": "__main__"})  # noqa: S102  # a file of ours, compiled when this process began
        result = 0
    except SystemExit as error:
        result = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
    except BaseException:  # noqa: BLE001  # as an interpreter does at its end
        sys.excepthook(*sys.exc_info())
    try:
        sys.stdout.flush()
    except OSError:
        result = result or 1
    os._exit(result & 0xFF)


def main() -> None:
    """Serve until whoever asks is gone."""
    handle = int(sys.argv[1])
    os.closerange(3, handle)  # whatever came along: every container would have it
    os.closerange(handle + 1, _MOST_HANDLES)
    channel = socket.socket(fileno=handle)
    launch = _loaded("launch", sys.argv[2])
    launch.die_with(os.getppid())
    programs = {}
    for path in sys.argv[3:]:
        _loaded("preloaded", path)  # with what it imports
        with open(path, "rb") as file:
            programs[path] = compile(file.read(), path, "exec")
    libc, number = ctypes.PyDLL(None, use_errno=True), _CLONE[platform.machine()]
    gc.collect()
    gc.freeze()
    while True:
        message, handles, _, _ = socket.recv_fds(channel, 16, _HANDLES)
        if not message:
            return
        pid = _fork(libc, number) if len(handles) == _HANDLES else -1
        if pid == 0:
            channel.close()
            _become(launch, handles, programs)
        for handle in handles:
            os.close(handle)
        channel.send(str(pid).encode())


if __name__ == "__main__":
    main()
