"""Containers by forking: what they read and say, how they end, and what becomes of them without the forker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.keryx import until

from events.local.kubelet import forking, processes
from events.local.kubelet.forking import Forker, Unavailable
from events.local.kubelet.lives import Child
from events.local.kubelet.processes import Launch, StartError
from events.local.standins import argosay

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first")

ARGOSAY = argosay.__file__
ENV = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
async def forker() -> AsyncIterator[Forker]:
    made = Forker([ARGOSAY])
    yield made
    await made.aclose()


async def ended(child: Child) -> tuple[bytes, bytes, int]:
    """All that it says, and its exit code."""
    assert child.stdout is not None
    assert child.stderr is not None
    async with asyncio.timeout(60):
        out, err = await asyncio.gather(child.stdout.read(), child.stderr.read())
        code = await child.wait()
    child.close()
    return out, err, code


async def started(forker: Forker, *argv: str, wants_stdin: bool = False, **more: dict[str, str]) -> Child:
    return await processes.fork(forker, Launch(argv, ENV, "/tmp", **more), wants_stdin=wants_stdin)  # type: ignore[arg-type]


async def test_streams_and_exit_codes_are_those_of_the_program(forker: Forker) -> None:
    child = await started(forker, "sh", "-c", "echo out; echo err >&2; pwd; exit 7")
    assert await ended(child) == (b"out\n/tmp\n", b"err\n", 7)
    child = await started(forker, "sh", "-c", "kill -9 $$")
    assert await ended(child) == (b"", b"", -9)
    child = await started(forker, "cat", wants_stdin=True)
    assert child.stdin is not None
    child.stdin.write(b"written")
    child.stdin.close()
    assert await ended(child) == (b"written", b"", 0)


async def test_what_cannot_be_started_says_why(forker: Forker) -> None:
    with pytest.raises(StartError, match="executable file not found"):
        await started(forker, "there-is-no-such-program")


async def test_nothing_of_ours_is_open_in_a_container(forker: Forker) -> None:
    with Path("/dev/null").open("rb") as ours:
        os.set_inheritable(ours.fileno(), True)
        out, _, _ = await ended(await started(forker, "sh", "-c", "ls /proc/self/fd; cat /proc/$$/stat"))
    *handles, stat = out.decode().splitlines()
    assert handles == ["0", "1", "2", "3"], "the last one is that of `ls`"
    assert stat.rpartition(")")[2].split()[1] == str(os.getpid()), "it is a child of this very process"


async def test_a_program_that_is_ready_runs_without_a_new_python(forker: Forker, tmp_path: Path) -> None:
    wrapper = tmp_path / "argosay"
    wrapper.write_text("#!/bin/sh\nexit 99\n")
    wrapper.chmod(0o755)
    inner = {str(wrapper): ARGOSAY}
    for arguments, result in (
        (("echo", "hello"), (b"hello\n", b"", 0)),
        (("exit", "3"), (b"", b"", 3)),
        (("never",), (b"", b"argosay: 'never' is none of echo, sleep, exit, cat, assert_contains\n", 64)),
    ):
        assert await ended(await started(forker, str(wrapper), *arguments, inner=inner)) == result


async def test_a_forker_that_died_is_told_and_started_again(forker: Forker) -> None:
    await ended(await started(forker, "true"))
    assert forker._process is not None
    os.kill(forker._process.pid, signal.SIGKILL)
    await forker._process.wait()
    with pytest.raises(Unavailable):
        await started(forker, "true")
    assert await ended(await started(forker, "true")) == (b"", b"", 0)


async def test_what_nobody_waits_for_any_more_does_not_begin(forker: Forker, tmp_path: Path) -> None:
    await ended(await started(forker, "true"))
    assert forker._process is not None
    os.kill(forker._process.pid, signal.SIGSTOP)
    given_up = [asyncio.create_task(started(forker, "touch", str(tmp_path / str(number)))) for number in range(3)]
    await asyncio.sleep(0.1)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    assert await ended(await started(forker, "echo", "mine")) == (b"mine\n", b"", 0)
    assert not list(tmp_path.iterdir())


async def test_an_answer_that_comes_too_late_begins_nothing(
    forker: Forker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended(await started(forker, "true"))
    assert forker._process is not None
    monkeypatch.setattr(forking, "_ANSWER_SECONDS", 0.05)
    os.kill(forker._process.pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="does not answer"):
        await started(forker, "touch", str(tmp_path / "file"))
    monkeypatch.undo()
    assert await ended(await started(forker, "echo", "mine")) == (b"mine\n", b"", 0)
    assert not list(tmp_path.iterdir())


async def test_a_fork_that_is_not_told_to_go_on_ends(forker: Forker, tmp_path: Path) -> None:
    await ended(await started(forker, "true"))
    reading, writing = os.pipe()
    heard, word = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    with (tmp_path / "launch").open("w+b") as file:
        file.write(Launch(["touch", str(tmp_path / "made")], ENV, "/").text())
        file.flush()
        pid = await forker._ask([heard, file.fileno(), writing, null, null, null])
    for handle in (writing, heard, word, null):
        os.close(handle)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 126
    assert os.read(reading, 100) == b""
    os.close(reading)
    assert not (tmp_path / "made").exists()


async def test_what_was_forked_dies_with_the_process_that_asked_for_it() -> None:
    program = """
import asyncio, sys
from events.local.kubelet import forking, processes
from events.local.kubelet.forking import Forker
from events.local.kubelet.processes import Launch
async def main():
    child = await processes.fork(Forker(), Launch(["sleep", "600"], {"PATH": "/usr/bin:/bin"}, "/"), wants_stdin=False)
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    above = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert above.stdout is not None
    pid = int(above.stdout.readline())
    above.kill()
    above.wait()
    above.stdout.close()
    await until(lambda: not processes.start_time(pid) or "Z" in Path(f"/proc/{pid}/stat").read_text(), 30)
