"""Every example is valid, every tutorial runs and does what it says."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
import yaml
from support.keryx import Keryx, http_sink, keryx, run_to_end, until
from support.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("*.yaml"))
FOLDERS = sorted({file.parent for file in FILES})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_file_is_valid(path: Path) -> None:
    result = run_to_end("run", "--check", "--dry-run", path)
    if path.name == "eventbus_native.yaml":  # it is there to show what becomes of such a bus
        assert result.returncode == 0
        assert result.stderr.count("\n") == result.stderr.count("a JetStream bus takes its place") == 1
        return
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("folder", sorted({file.parent for file in (EXAMPLES / "tutorials").rglob("*.yaml")}))
def test_every_tutorial_is_named_in_the_readme(folder: Path) -> None:
    assert folder.name in (EXAMPLES.parent / "README.md").read_text()


def copied(tmp_path: Path, tutorial: str, *replaced: tuple[str, str]) -> Path:
    """A tutorial with some of its text replaced."""
    folder = tmp_path / "in"
    shutil.copytree(EXAMPLES / "tutorials" / tutorial, folder)
    for file in folder.iterdir():
        text = file.read_text()
        for old, new in replaced:
            text = text.replace(old, new)
        file.write_text(text)
    return folder


def started(tmp_path: Path, folder: Path, *options: str) -> tuple[Path | str, ...]:
    return ("run", folder, "--data", tmp_path / "data", *options)


async def posted(port: int, path: str, body: object, **headers: str) -> None:
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"http://localhost:{port}{path}", json=body, headers=headers)
        assert answer.status == 200, await answer.text()


async def test_webhook_workflow(tmp_path: Path) -> None:
    port = free_port()
    folder = copied(tmp_path, "webhook-workflow", ("9100", str(port)))
    async with keryx(tmp_path, *started(tmp_path, folder, "--dry-run")) as run:
        await run.says("Listening")
        await posted(port, "/example", {"message": "hello"})
        [workflow] = await _documents(run, 1)
        assert workflow["spec"]["arguments"]["parameters"] == [{"name": "message", "value": "hello"}]


async def test_schedule(tmp_path: Path) -> None:
    folder = copied(tmp_path, "schedule", ("interval: 10s", "interval: 1s"))
    async with keryx(tmp_path, *started(tmp_path, folder)) as run:
        await until(lambda: len([line for line in run.lines if line.get("triggerType") == "Log"]) >= 2, 60)
        assert await run.stop() == 0


async def test_http_relay(tmp_path: Path) -> None:
    port = free_port()
    async with http_sink() as sink:
        sink.status = 500
        folder = copied(tmp_path, "http-relay", ("9101", str(port)), ("9102", str(sink.port)))
        async with keryx(tmp_path, *started(tmp_path, folder)) as run:
            await run.says("Listening")
            push = {"ref": "refs/heads/main", "size": 2, "repository": "shop"}
            await posted(port, "/push", push | {"ref": "refs/heads/topic"})
            await posted(port, "/push", push, **{"X-Delivery": "one"})
            await posted(port, "/push", push, **{"X-Delivery": "one"})
            await until(lambda: len(sink.bodies) == 1, what=lambda: run.err)
            sink.status = 201
            await until(lambda: len(sink.bodies) == 2, what=lambda: run.err)
            await posted(port, "/push", push | {"size": 3})
            await until(lambda: len(sink.bodies) == 3, what=lambda: run.err)
    expected = [{"repository": "shop", "commits": commits} for commits in (2, 2, 3)]
    assert sink.bodies == expected


async def test_two_events(tmp_path: Path) -> None:
    port = free_port()
    folder = copied(tmp_path, "two-events", ("9103", str(port)))
    async with keryx(tmp_path, *started(tmp_path, folder, "--dry-run")) as run:
        await run.says("Listening")
        await posted(port, "/approved", {"by": "Ada"})
        await posted(port, "/built", {"ok": False, "version": "0"})
        await posted(port, "/built", {"ok": True, "version": "1"})
        [made] = await _documents(run, 1)
        assert made["data"] == {"version": "1", "approver": "Ada"}


async def _documents(run: Keryx, count: int) -> list[dict[str, dict[str, object]]]:
    """What was printed, once it is complete and the process has ended."""
    await until(lambda: run.out.count("---") >= count, what=lambda: run.err)
    assert await run.stop() == 0
    return list(yaml.safe_load_all(run.out))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mounts", ["auto", "none"])
def test_the_demo_ends_with_the_whale(mounts: str) -> None:
    with closing(socket.socket()) as probe:
        if probe.connect_ex(("127.0.0.1", 9100)) == 0:
            pytest.skip("somebody listens on port 9100, which the demo uses")
    command, env = [sys.executable, EXAMPLES / "demo.py"], os.environ | {"KERYX_MOUNTS": mounts}
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "< this is my first webhook >" in result.stdout
