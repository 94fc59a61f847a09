"""`keryx wf logs` on `keryx up`: logs as the node keeps them, while pods run, afterwards, and from the archive."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import kubectls
from support.aws import aws
from support.keryx import COMMAND
from support.machine import Machine, machine

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(480),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
SHELL = {"image": "busybox", "command": ["sh", "-c"]}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path) as found:
        yield found


async def wf(here: Machine, *arguments: str) -> tuple[str, str]:
    """What is said on stdout and stderr by one that succeeds."""
    process = await begun(here, *arguments)
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == 0, (out.decode(), err.decode(), here.process.err[-3000:])
    return out.decode(), err.decode()


async def begun(here: Machine, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        str(COMMAND), "wf", *arguments, "--kubeconfig", str(here.kubeconfig), stdout=pipe, stderr=pipe, env=os.environ
    )


def workflow(name: str, *templates: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"entrypoint": "main", "templates": list(templates), **spec},
    }


def leaf(text: str, **more: Any) -> dict[str, Any]:
    inputs = {"parameters": [{"name": "who", "value": ""}]}
    return {"name": "leaf", "inputs": inputs, "container": {**SHELL, "args": [text]}, **more}


def loop(*who: str) -> dict[str, Any]:
    given = {"parameters": [{"name": "who", "value": "{{item}}"}]}
    return {"name": "main", "steps": [[{"name": "a", "template": "leaf", "arguments": given, "withItems": list(who)}]]}


async def test_lines_of_several_pods_are_followed_until_all_have_ended(here: Machine, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    text = f"echo {{{{inputs.parameters.who}}}} begins; until [ -e {gate} ]; do sleep 0.1; done; echo ends"
    await here.apply(workflow("w", loop("one", "two"), leaf(text)))
    process = await begun(here, "logs", "w", "--follow")
    assert process.stdout is not None
    async with asyncio.timeout(120):
        first = [(await process.stdout.readline()).decode() for _ in range(2)]
    assert {line.partition(": ")[2] for line in first} == {"one begins\n", "two begins\n"}
    assert len({line.partition(": ")[0] for line in first}) == 2
    gate.touch()
    async with asyncio.timeout(120):
        rest, said = await process.communicate()
    assert [line.partition(": ")[2] for line in rest.decode().splitlines()] == ["ends", "ends"], said
    assert process.returncode == 0


async def test_containers_are_told_apart_and_lines_selected(here: Machine, tmp_path: Path) -> None:
    sidecar = {"name": "beside", **SHELL, "args": [f"echo beside; touch {tmp_path}/said; exec sleep 600"]}
    text = f"until [ -e {tmp_path}/said ]; do sleep 0.1; done; echo first; echo second >&2; echo third"
    await here.apply(workflow("w", {**leaf(text, sidecars=[sidecar]), "name": "main"}))
    await wf(here, "wait", "w")
    lines = (await wf(here, "logs", "w"))[0].splitlines()  # stdout and stderr take different ways
    assert sorted(lines) == ["w: first", "w: second", "w: third"]
    assert (await wf(here, "logs", "w", "w", "-c", "beside"))[0] == "w: beside\n"
    assert (await wf(here, "logs", "w", "--tail", "1"))[0] == f"{lines[-1]}\n"
    assert (await wf(here, "logs", "w", "--grep", "^f"))[0] == "w: first\n"
    stamped = (await wf(here, "logs", "w", "--timestamps", "--grep", "first"))[0]
    assert stamped.startswith("w: 20")
    assert (await wf(here, "logs", "w", "another"))[0] == ""


async def test_logs_are_there_when_pods_and_workflow_are_gone(here: Machine) -> None:
    collected = {"podGC": {"strategy": "OnPodCompletion", "deleteDelayDuration": "0s"}}
    text = "echo {{inputs.parameters.who}}; echo warned >&2"
    await here.apply(workflow("kept", loop("one", "two"), leaf(text), archiveLogs=True, **collected))
    await here.apply(workflow("lost", {**leaf("echo lost"), "name": "main"}, **collected))
    await wf(here, "wait", "kept", "lost")
    await here.until(lambda it: not it["items"], "pods", "-l", "workflows.argoproj.io/workflow")
    lines = [line.partition(": ")[2] for line in (await wf(here, "logs", "kept"))[0].splitlines()]
    assert sorted(lines) == ["one", "two", "warned", "warned"]
    out, said = await wf(here, "logs", "lost")
    assert out == ""
    assert "lost is gone, and its log was not archived (archiveLogs: true in the Workflow does)" in said
    archived = "workflows.argoproj.io/workflow-archiving-status"
    await here.until(lambda it: it["metadata"]["labels"].get(archived), "workflow", "kept")
    await wf(here, "delete", "kept")
    lines = [line.partition(": ")[2] for line in (await wf(here, "logs", "kept"))[0].splitlines()]
    assert sorted(lines) == ["one", "two", "warned", "warned"]


async def test_artifacts_and_logs_of_a_bucket_come_back_from_it(here: Machine) -> None:
    with aws() as server:
        server.client("s3").create_bucket(
            Bucket="flows", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        keys = {"accessKeySecret": {"name": "keys", "key": "a"}, "secretKeySecret": {"name": "keys", "key": "b"}}
        s3 = {"bucket": "flows", "endpoint": server.host, "insecure": True, **keys}
        notes = {"workflows.argoproj.io/default-artifact-repository": "main"}
        await here.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "keys"},
                "stringData": {"a": "test", "b": "test"},
            },
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "artifact-repositories", "annotations": notes},
                "data": {"main": yaml.safe_dump({"archiveLogs": True, "s3": s3})},
            },
        )
        made = {"artifacts": [{"name": "f", "path": "/tmp/made.txt"}]}
        given = {"artifacts": [{"name": "f", "from": "{{steps.a.outputs.artifacts.f}}"}]}
        steps = [[{"name": "a", "template": "write"}], [{"name": "b", "template": "read", "arguments": given}]]
        write = {"name": "write", "outputs": made, "container": {**SHELL, "args": ["echo handed over >/tmp/made.txt"]}}
        taken = {"artifacts": [{"name": "f", "path": "/tmp/taken.txt"}]}
        read = {"name": "read", "inputs": taken, "container": {**SHELL, "args": ["cat /tmp/taken.txt"]}}
        collected = {"strategy": "OnPodCompletion", "deleteDelayDuration": "0s"}
        await here.apply(workflow("w", {"name": "main", "steps": steps}, write, read, podGC=collected))
        await wf(here, "wait", "w")
        stored = [one["Key"] for one in server.client("s3").list_objects_v2(Bucket="flows")["Contents"]]
        assert sorted(one.rpartition("/")[2] for one in stored) == ["f.tgz", "main.log", "main.log"]
        await here.until(lambda it: not it["items"], "pods", "-l", "workflows.argoproj.io/workflow")
        lines = (await wf(here, "logs", "w"))[0].splitlines()
        assert [line.partition(": ")[2] for line in lines] == ["handed over"]
