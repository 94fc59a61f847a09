"""What is in the way of `keryx up` is said clearly, and it goes on when it is out of the way: disks, limits, rivals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from support import kubectls
from support.keryx import COMMAND, until
from support.machine import SECONDS, Machine, machine, pod, shell

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(400),
]
WALK_THROUGH = Path(__file__).parents[2] / "examples" / "walkthrough"
NAMESPACE = ("-n", "argo-events")
PORT = 29118


async def keryx(*arguments: str, shell: str = "") -> tuple[int, str]:
    """Exit code, and everything that was said; `shell` is done before."""
    words = [str(COMMAND), *arguments]
    command = ["sh", "-c", f'{shell} && exec "$@"', "sh", *words] if shell else words
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of our own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ("-t", "tmpfs", "-o", "size=220m", "none", str(folder))
    if os.geteuid() != 0 or subprocess.run(["mount", *options], check=False, capture_output=True).returncode != 0:
        pytest.skip("a disk of its own cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(disk: Path, name: str = "fill") -> Path:
    """Until nothing more goes onto it."""
    path = disk / name
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 65536)
    return path


async def post(url: str, message: str) -> bool:
    """Whether it was accepted."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        asked = {"json": {"message": message}, "timeout": aiohttp.ClientTimeout(15)}
        async with aiohttp.ClientSession() as session, session.post(url, **asked) as answer:
            return answer.status == 200
    return False


async def walk_through(here: Machine) -> str:
    """Everything of it ready, the sensor at least once; where to post."""
    objects = [it for file in sorted(WALK_THROUGH.glob("*.yaml")) for it in yaml.safe_load_all(file.read_text())]
    for one in objects:
        if one["kind"] == "Sensor":
            one["spec"]["triggers"][0]["atLeastOnce"] = True
    await here.kubectl("create", "namespace", "argo-events")
    text = yaml.safe_dump_all(objects).replace("9100", str(PORT))
    await here.kubectl("apply", *NAMESPACE, "-f", "-", stdin=text)
    for one in ("eventbus/default", "eventsource/webhook", "sensor/webhook"):
        await here.kubectl("wait", *NAMESPACE, "--for=condition=Deployed", "--timeout=55s", one)
    service = await here.get("service", *NAMESPACE, "webhook-eventsource-svc")
    return f"http://{service['spec']['clusterIP']}:{PORT}/example"


async def said_by_workflows(here: Machine) -> set[str]:
    found = (await here.get("workflows", *NAMESPACE))["items"]
    done = [one for one in found if (one.get("status") or {}).get("phase") == "Succeeded"]
    return {one["spec"]["arguments"]["parameters"][0]["value"] for one in done}


async def refused(here: Machine, disk: Path) -> str:
    """What is said to a write that is refused; others let go of a little of their files now and then."""
    for number in range(30):
        fill(disk, f"more-{number}")
        code, _, said = await here.run("create", "configmap", f"c{number}", f"--from-literal=x={'y' * 5000}")
        if code:
            return said
    raise AssertionError("everything went onto a full disk")


@pytest.mark.timeout(1000)
async def test_a_full_disk_refuses_and_is_over_when_there_is_room_again(disk: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"  # where its log goes: that disk has room
    (disk / "data").mkdir(mode=0o700)
    home.mkdir()
    (home / "data").symlink_to(disk / "data")
    async with machine(home) as here:
        url = await walk_through(here)
        accepted = set()
        async with asyncio.timeout(SECONDS):
            while not await post(url, "before"):
                await asyncio.sleep(0.2)
        accepted.add("before")
        full = fill(disk)
        for number in range(8):
            if await post(url, f"full {number}"):
                accepted.add(f"full {number}")
        assert "full 7" not in accepted, "what cannot be stored is not accepted"
        said = await refused(here, disk)
        assert "the store cannot write: database or disk is full; try again later" in said
        await here.get("pods", *NAMESPACE)  # what there is can be read
        code, told = await keryx("status", "--data", str(here.data))
        assert (code, "disk          full: what is written is refused" in told) == (0, True), told
        for one in (full, *disk.glob("more-*")):
            one.unlink()
        assert here.process.is_running
        async with asyncio.timeout(600):  # servers that died again and again while it was full: back-off of pods
            while not await post(url, "after"):
                await asyncio.sleep(1)
        accepted.add("after")
        async with asyncio.timeout(4 * SECONDS):
            while not accepted <= await said_by_workflows(here):
                await asyncio.sleep(1)
        await here.kubectl("create", "configmap", "one", "--from-literal=x=y")
        assert not here.process.said("met a defect")
        # Said when it begins and when it ends, not for each write.
        said_first, said_last = (here.process.said(f"the store {text}") for text in ("cannot write", "can write again"))
        assert len(said_last) == len(said_first) <= 40


async def test_a_disk_without_room_or_without_writing_is_refused(disk: Path) -> None:
    full = fill(disk)
    code, said = await keryx("up", "--data", str(disk / "data"))
    assert (code, "is full: 0 MiB are left" in said) == (2, True), said
    full.unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for more in ((), ("--detach",)):
        code, said = await keryx("up", "--data", str(disk / "data"), *more)
        assert (code, "cannot be written: Read-only file system" in said) == (2, True), said


async def test_of_two_that_start_at_once_one_runs_and_the_other_says_which(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    try:
        ends = await asyncio.gather(*(keryx("up", "--detach", *data) for _ in range(2)))
        assert sorted(code for code, _ in ends) == [0, 2], ends
        said = next(text for code, text in ends if code == 2)
        pid = (tmp_path / "data" / "lock").read_text().strip()
        assert f"(pid {pid})" in said, said
        assert re.search(r"runs already|is in use by another keryx", said), said
        assert (await keryx("status", *data))[0] == 0
    finally:
        await keryx("down", *data)


async def test_few_open_files_are_a_note_and_too_few_are_refused(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    code, said = await keryx("up", *data, shell="ulimit -n 128")
    assert (code, "only 128 open files are allowed, and 256 are needed (ulimit -n 1024)" in said) == (2, True), said
    try:
        code, said = await keryx("up", "--detach", *data, shell="ulimit -n 512")
        assert (code, "note: only 512 open files are allowed" in said) == (0, True), said
        assert "only 512 open files are allowed" in (await keryx("status", *data))[1]
    finally:
        await keryx("down", *data)


async def test_a_directory_of_an_older_layout_is_brought_up_to_date_with_all_its_objects(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        await here.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        assert await here.process.stop(SECONDS) == 0
        (here.data / "layout").write_text("1\n")
        await here.start()
        assert (await here.get("configmap", "kept"))["data"] == {"a": "b"}
        assert '"layout": 2' in (here.data / "layout").read_text()


async def test_a_pod_that_cannot_run_for_want_of_open_files_is_told_and_tried_again(tmp_path: Path) -> None:
    async with machine(tmp_path, "--crash-backoff", "0.2") as here:
        assert here.process.process is not None
        number = here.process.process.pid
        await until(lambda: '"msg":"Ready"' in here.process.err, SECONDS)
        few = len(os.listdir(f"/proc/{number}/fd")) + 6  # a request more, and no container
        many = resource_limit(number, few)
        await here.apply(shell("late", "sleep 60", policy="Always"))
        await here.until(lambda it: it["items"], "events", "--field-selector", "type=Warning")
        assert here.process.is_running
        resource_limit(number, many)
        await here.phase("late", "Running")


def resource_limit(pid: int, most: int) -> int:
    """Give a process another soft limit of open files; the former one."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
    return soft


class Screen:
    """A `keryx up` on a terminal, and what stands there."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        main, side = pty.openpty()
        self._main, self.text = main, ""
        words = [str(COMMAND), *arguments]
        environment = os.environ | {"TERM": "xterm"} | environ
        self.process = subprocess.Popen(words, stdin=side, stdout=side, stderr=side, env=environment)
        os.close(side)
        os.set_blocking(main, False)

    def shows(self, text: str) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            while piece := os.read(self._main, 65536):
                self.text += piece.decode("utf-8", "replace")
        return text in self.text

    async def until(self, text: str) -> None:
        await until(lambda: self.shows(text), SECONDS, lambda: self.text)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._main)


async def test_a_terminal_shows_what_starts_what_to_do_and_what_happens(tmp_path: Path) -> None:
    here = Machine(tmp_path)
    screen = Screen("up", "--data", str(here.data), NO_COLOR="1")
    try:
        await screen.until("Ctrl-C; everything goes on at the next start")
        for part in ("API server", "definitions", "admission", "node", "workloads", "workflows", "controllers"):
            assert re.search(rf"✓ {part} +\d+\.\d s", screen.text), part
        assert f"export KUBECONFIG={here.kubeconfig}" in screen.text
        await here.apply(shell("fails", "exit 3"), pod("odd", image="nobody/knows"), shell("runs", "sleep 60"))
        await screen.until("✗ pod default/fails failed: main: exit code 3")
        await screen.until("✗ pod default/odd waits: main: ErrImagePull: nothing on this machine stands in")
        await screen.until("✓ pod default/runs runs")
        assert "\x1b[3" not in screen.text, "no colours"
        assert '"level"' not in screen.text
        assert '"msg":"Ready"' in (await keryx("logs", "--data", str(here.data)))[1]
        screen.process.send_signal(signal.SIGINT)
        await screen.until("stopped")
        assert await asyncio.to_thread(screen.process.wait, SECONDS) == 0
        assert not here.processes()
    finally:
        screen.close()


async def test_in_the_background_a_terminal_shows_the_same_steps(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    screen = Screen("up", "--detach", *data, NO_COLOR="1")
    try:
        await screen.until("keryx down")
        assert re.search(r"✓ controllers +\d+\.\d s", screen.text)
        assert re.search(r"ready in \d+\.\d s \(pid \d+\)", screen.text)
        assert await asyncio.to_thread(screen.process.wait, SECONDS) == 0
    finally:
        screen.close()
        await keryx("down", *data)
