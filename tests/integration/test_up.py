"""`keryx up` as a whole: in the background, stopped, killed, resumed, reset; and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from support import kubectls
from support.keryx import COMMAND
from support.machine import Machine, machine, pod, shell

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(240),
]


async def keryx(*arguments: str) -> tuple[int, str]:
    """Exit code, and everything that was said."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        str(COMMAND), *arguments, stdout=pipe, stderr=asyncio.subprocess.STDOUT, env=os.environ | {"LOG_LEVEL": "info"}
    )
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_the_life_of_one_in_the_background(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    here = Machine(tmp_path)
    assert (await keryx("status", *data))[0] == 1
    assert (await keryx("kubeconfig", *data))[0] == 2
    try:
        code, said = await keryx("up", "--detach", *data)
        assert code == 0, said
        assert "ready: export KUBECONFIG=" in said
        code, said = await keryx("up", "--detach", *data)
        assert code == 2
        assert "it runs already (pid " in said
        assert (await keryx("reset", "--yes", *data))[0] == 2
        assert (await keryx("kubeconfig", *data))[1].strip() == str(here.kubeconfig)
        await here.apply(shell("stays", "sleep 600", policy="Always"))
        await here.phase("stays", "Running")
        url = here.kubeconfig.read_text()
        assert await keryx("down", *data) == (0, "stopped\n")
        assert not here.processes()
        assert await keryx("down", *data) == (0, "not running\n")
        assert (await keryx("up", "--detach", *data))[0] == 0
        assert here.kubeconfig.read_text() == url, "the port is the same: what was handed out stays good"
        await here.until(lambda it: it["status"]["containerStatuses"][0]["restartCount"] == 1, "pod", "stays")
        code, said = await keryx("status", *data)
        assert code == 0
        assert said.startswith("state       ready\n"), said
        assert "pods        1 ready" in said
        assert '"msg":"Ready"' in (await keryx("logs", *data))[1]
    finally:
        await keryx("down", *data)
    assert (await keryx("reset", "--yes", *data))[0] == 0
    assert not (tmp_path / "data").exists()


async def test_what_a_kill_left_behind_is_told_and_ended(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        await here.apply(shell("leaves", "setsid sleep 601 & wait"))
        await here.phase("leaves", "Running")
        here.process.kill()
        assert here.processes(), "what the container had started itself"
        data = ("--data", str(here.data))
        code, said = await keryx("status", *data)
        assert code == 1
        assert "left over" in said
        assert "left-over processes" in (await keryx("down", *data))[1]
        assert not here.processes()


async def test_one_directory_belongs_to_one(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        code, said = await keryx("up", "--data", str(here.data))
        assert code == 2
        assert "is in use by another keryx (pid " in said


async def test_stale_files_and_a_taken_port_are_no_obstacle(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        url = here.kubeconfig.read_text()
        here.process.kill()
        state = json.loads((here.data / "state.json").read_text())
        (here.data / "state.json").write_text(json.dumps(state | {"pid": os.getpid()}))  # somebody else has its pid now
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", int((here.data / "port").read_text())))
            taken.listen()
            await here.start()
        assert here.kubeconfig.read_text() != url
        assert "The port of the last time is taken" in here.process.err
        await here.get("nodes")


async def test_what_cannot_work_is_said_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "layout").write_text("99\n")
    code, said = await keryx("up", "--data", str(tmp_path))
    assert (code, "was written by a newer Keryx (unknown version, layout 99)" in said) == (2, True), said
    code, said = await keryx("up", "--detach", "--data", str(tmp_path))
    assert (code, "was written by a newer Keryx" in said) == (2, True), said
    (tmp_path / "file").write_text("")
    code, said = await keryx("up", "--data", str(tmp_path / "file" / "below"))
    assert (code, "cannot be written" in said) == (2, True), said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, said = await keryx("up", "--data", str(tmp_path / "new"), "--port", str(taken.getsockname()[1]))
    assert (code, "cannot listen on" in said) == (2, True), said


async def test_the_kinds_of_this_project_are_there(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        names = await here.kubectl("get", "crds", "-o", "name")
        assert "customresourcedefinition.apiextensions.k8s.io/sensors.argoproj.io" in names
        assert here.process.process is not None
        here.process.signal(signal.SIGTERM)
        assert await here.process.ended(60) == 0
        await here.start()
        await here.kubectl("get", "eventbus,eventsources,sensors")


async def test_a_workflow_of_a_whale_runs(tmp_path: Path) -> None:
    container = {"image": "docker/whalesay:latest", "command": ["cowsay"], "args": ["{{inputs.parameters.message}}"]}
    template = {"name": "say", "inputs": {"parameters": [{"name": "message"}]}, "container": container}
    arguments = {"parameters": [{"name": "message", "value": "this is my first webhook"}]}
    spec = {"entrypoint": "say", "arguments": arguments, "templates": [template]}
    async with machine(tmp_path) as here:
        names = {"name": "whale", "namespace": "default"}
        await here.apply({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": names, "spec": spec})
        await here.until(lambda it: (it.get("status") or {}).get("phase") == "Succeeded", "workflow", "whale")
        assert "Succeeded" in await here.kubectl("get", "wf")
        said = await here.kubectl("logs", "-l", "workflows.argoproj.io/workflow=whale", "--tail=-1")
        assert "< this is my first webhook >" in said
        assert "~~~" in said


async def test_a_users_own_images_run_what_their_table_says(tmp_path: Path) -> None:
    (tmp_path / "app.sh").write_text("#!/bin/sh\necho app $MODE $*\n")
    (tmp_path / "app.sh").chmod(0o755)
    file = tmp_path / "images.yaml"
    file.write_text("team/app: {command: [./app.sh], env: {MODE: local}}\n")
    async with machine(tmp_path, "--images", str(file)) as here:
        await here.apply(pod("app", image="team/app:7", container={"args": ["one", "two"]}), pod("web", image="nginx"))
        await here.phase("app", "Succeeded", "Failed")
        assert await here.kubectl("logs", "app") == "app local one two\n"
        said = await here.kubectl("describe", "pod", "web")
        assert 'nothing on this machine stands in for the image "nginx"' in said
    file.write_text("team/app: {comand: [x]}\n")
    code, said = await keryx("up", "--data", str(tmp_path / "other"), "--images", str(file))
    assert (code, "team/app.comand: is not known" in said) == (2, True), said
    code, said = await keryx("up", "--data", str(tmp_path / "other"), "--images", str(tmp_path / "absent"))
    assert (code, "does not exist" in said) == (2, True), said
