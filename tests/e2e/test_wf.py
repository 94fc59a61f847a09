"""`keryx wf` on the local API server, with the controllers of workflows and pods that really run."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from support.api_server import ApiServer
from support.keryx import COMMAND
from support.pod_player import PodPlayer

from events.kube.api import KubeError
from events.kube.client import KubeClient, connect
from events.local.workflows.controller import Workflows
from events.local.workflows.definitions import definitions
from events.logs import Log
from events.metrics import ControllerMetrics

pytestmark = pytest.mark.timeout(600)
SECONDS = 180.0
"""For what takes a second on a machine that has nothing else to do: each look is a process of its own."""
HELLO = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"generateName": "hello-"},
    "spec": {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "code", "value": "0"}]},
        "templates": [
            {
                "name": "main",
                "steps": [[{"name": "say", "template": "leaf"}], [{"name": "ask", "template": "ask"}]],
            },
            {"name": "ask", "suspend": {}},
            {
                "name": "leaf",
                "container": {
                    "image": "busybox",
                    "command": ["sh", "-c"],
                    "args": ["exit {{workflow.parameters.code}}"],
                },
            },
        ],
    },
}


class Machine:
    """An API server, controllers, a node, and the command line."""

    def __init__(self, api: KubeClient, kubeconfig: Path, folder: Path) -> None:
        self.api, self.kubeconfig, self.folder = api, kubeconfig, folder

    async def wf(self, *arguments: str, code: int = 0) -> str:
        pipe = asyncio.subprocess.PIPE
        environ, given = dict(os.environ), list[str]()
        if arguments[0] in ("get", "list"):  # as people do who have exported it
            environ["KUBECONFIG"] = str(self.kubeconfig)
        elif arguments[0] != "lint":
            given = ["--kubeconfig", str(self.kubeconfig)]
        process = await asyncio.create_subprocess_exec(
            str(COMMAND), "wf", *arguments, *given, stdout=pipe, stderr=pipe, env=environ
        )
        out, err = await process.communicate()
        assert process.returncode == code, (out.decode(), err.decode())
        return out.decode() or err.decode()

    def file(self, obj: dict[str, Any]) -> str:
        path = self.folder / "workflow.yaml"
        path.write_text(yaml.safe_dump(obj))
        return str(path)

    async def until(self, name: str, text: str) -> str:
        ends = time.monotonic() + SECONDS
        while text not in (shown := await self.wf("get", name)):
            assert time.monotonic() < ends, shown
        return shown


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    server = await ApiServer(tmp_path).start()
    api = await connect(str(server.kubeconfig))
    try:
        for one in definitions():
            await api.create(one)
        await _served(api)
        controllers = Workflows(
            api, tmp_path / "workflows", metrics=ControllerMetrics(CollectorRegistry()), log=Log("workflows")
        )
        task = asyncio.create_task(controllers.run())
        async with PodPlayer(api).playing():
            yield Machine(api, server.kubeconfig, tmp_path)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()
    finally:
        await api.aclose()
        await server.stop()


async def _served(api: KubeClient) -> None:
    ends = time.monotonic() + 30
    for kind in ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"):
        while True:
            try:
                await api.list(await api.resource("argoproj.io/v1alpha1", kind))
                break
            except KubeError:
                assert time.monotonic() < ends
                await asyncio.sleep(0.1)


async def test_a_workflow_is_submitted_resumed_and_shown_as_a_tree(machine: Machine) -> None:
    name = (await machine.wf("submit", machine.file(HELLO), "-o", "name")).strip()
    shown = await machine.until(name, "ǁ ask")
    assert "Running (Suspended)" in shown
    assert await machine.wf("resume", "@latest") == f"workflow {name} resumed\n"
    assert await machine.wf("wait", name)
    shown = await machine.wf("get", name, "--no-utf8")
    assert "Succeeded say" in shown
    assert (await machine.wf("list", "--completed", "-o", "name")).split() == [name]
    assert "workflow" in await machine.wf("terminate", name, code=2)
    assert await machine.wf("delete", name) == f"Workflow '{name}' deleted\n"
    assert await machine.wf("list") == "No workflows found\n"


async def test_a_failed_workflow_is_retried_and_resubmitted(machine: Machine) -> None:
    name = (await machine.wf("submit", machine.file(HELLO), "-p", "code=3", "-o", "name")).strip()
    shown = await machine.until(name, "main: Error (exit code 3)")
    assert "Failed" in shown
    await machine.until(name, "Finished:")
    await machine.wf("retry", name, "-p", "code=0", "-o", "name")
    await machine.until(name, "ǁ ask")
    await machine.wf("stop", name)
    found = json.loads(await machine.wf("get", name, "-o", "json"))
    assert found["spec"]["shutdown"] == "Stop"
    await machine.until(name, "Stopped with strategy 'Stop'")
    again = (await machine.wf("resubmit", name, "-o", "name")).strip()
    assert again.startswith("hello-")
    assert again != name


async def test_lint_says_what_is_wrong(machine: Machine) -> None:
    broken = {**HELLO, "spec": {**HELLO["spec"], "entrypoint": "nowhere"}}
    assert "template name 'nowhere' undefined" in await machine.wf("lint", machine.file(broken), code=1)
    assert await machine.wf("lint", machine.file(HELLO)) == "✔ no linting errors found!\n"


async def test_kubectl_columns_show_status_and_message(machine: Machine) -> None:
    definition = await machine.api.get(
        await machine.api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition"), "workflows.argoproj.io"
    )
    (version,) = definition["spec"]["versions"]
    assert [one["name"] for one in version["additionalPrinterColumns"]] == ["Status", "Age", "Message"]


TEMPLATE = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "WorkflowTemplate",
    "metadata": {"name": "hello"},
    "spec": HELLO["spec"],
}


@pytest.mark.parametrize(
    ("word", "kind"), [("template", "WorkflowTemplate"), ("cluster-template", "ClusterWorkflowTemplate")]
)
async def test_templates_are_created_listed_shown_updated_and_deleted(machine: Machine, word: str, kind: str) -> None:
    obj = {**TEMPLATE, "kind": kind}
    assert "Name:                hello" in await machine.wf(word, "create", machine.file(obj))
    assert "already exists" in await machine.wf(word, "create", machine.file(obj), code=2)
    assert await machine.wf(word, "list") == "NAME\nhello\n"
    assert json.loads(await machine.wf(word, "get", "hello", "-o", "json"))["spec"]["entrypoint"] == "main"
    changed = {**obj, "spec": {**HELLO["spec"], "entrypoint": "ask"}}
    await machine.wf(word, "update", machine.file(changed))
    assert json.loads(await machine.wf(word, "get", "hello", "-o", "json"))["spec"]["entrypoint"] == "ask"
    broken = {**obj, "spec": {**HELLO["spec"], "entrypoint": "nowhere"}}
    assert "template name 'nowhere' undefined" in await machine.wf(word, "update", machine.file(broken), code=2)
    assert await machine.wf(word, "delete", "hello") == f"{kind} 'hello' deleted\n"
    assert await machine.wf(word, "list") == f"No {word.replace('-', ' ')}s found\n"


async def test_the_namespace_is_that_of_the_context(machine: Machine) -> None:
    await machine.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    await machine.wf("template", "create", machine.file(TEMPLATE), "-n", "other")
    assert await machine.wf("template", "list") == "No templates found\n"
    config = yaml.safe_load(machine.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = "other"
    machine.kubeconfig = machine.folder / "other.kubeconfig"
    machine.kubeconfig.write_text(yaml.safe_dump(config))
    assert await machine.wf("template", "list") == "NAME\nhello\n"
    assert await machine.wf("template", "list", "-n", "default") == "No templates found\n"


async def test_a_cron_workflow_is_listed_suspended_and_resumed(machine: Machine) -> None:
    spec = {"schedules": ["0 3 * * *"], "timezone": "Europe/Berlin", "workflowSpec": HELLO["spec"]}
    obj = {**TEMPLATE, "kind": "CronWorkflow", "metadata": {"name": "nightly"}, "spec": spec}
    await machine.wf("cron", "create", machine.file(obj))
    heading, row = (await machine.wf("cron", "list")).splitlines()
    assert heading.split()[:2] == ["NAME", "AGE"]
    assert row.split()[0] == "nightly"
    assert row.endswith("0 3 * * *   Europe/Berlin   false")
    assert await machine.wf("cron", "suspend", "nightly") == "CronWorkflow 'nightly' suspended\n"
    shown = await machine.wf("cron", "get", "nightly")
    assert "Suspended:           true" in shown
    assert "NextScheduledTime:" not in shown
    await machine.wf("cron", "resume", "nightly")
    assert " from now)" in (await machine.wf("cron", "get", "nightly")).partition("NextScheduledTime:")[2]
    assert await machine.wf("cron", "delete", "--all") == "CronWorkflow 'nightly' deleted\n"


async def test_outputs_of_a_suspended_step_are_set_and_it_goes_on_with_a_message(machine: Machine) -> None:
    ask = {"name": "ask", "suspend": {}, "outputs": {"parameters": [{"name": "who", "valueFrom": {"supplied": {}}}]}}
    obj = {**HELLO, "spec": {"entrypoint": "ask", "templates": [ask]}}
    name = (await machine.wf("submit", machine.file(obj), "-o", "name")).strip()
    await machine.until(name, "Suspended")
    assert "has not been set" in await machine.wf("resume", name, code=2)
    assert "nothing is to be set" in await machine.wf("node", "set", name, code=2)
    where = ("--node-field-selector", f"displayName={name}")
    assert "not expecting output parameter" in await machine.wf("node", "set", name, *where, "-p", "no=1", code=2)
    assert await machine.wf("node", "set", name, *where, "-p", "who=me", "-m", "asked") == "workflow values set\n"
    await machine.wf("resume", name, *where, "-m", "answered")
    await machine.wf("wait", name)
    (node,) = json.loads(await machine.wf("get", name, "-o", "json"))["status"]["nodes"].values()
    assert node["outputs"]["parameters"] == [{"name": "who", "value": "me"}]
    assert node["message"] == "answered"


async def test_archived_workflows_are_listed_shown_resubmitted_retried_and_forgotten(machine: Machine) -> None:
    name = (await machine.wf("submit", machine.file(HELLO), "-p", "code=3", "-o", "name")).strip()
    ended = await machine.until(name, "Finished:")
    assert "Failed" in ended
    ends = time.monotonic() + SECONDS
    while name not in (shown := await machine.wf("archive", "list")):
        assert time.monotonic() < ends, shown
    uid = shown.split()[-1]
    assert "already" not in await machine.wf("archive", "get", uid)
    assert "is still there" in await machine.wf("archive", "retry", uid, code=2)
    await machine.wf("delete", name)
    assert "Failed" in await machine.wf("get", name), "from the archive"
    await machine.wf("archive", "retry", name, "-p", "code=0", "-o", "name")
    await machine.until(name, "ǁ ask")
    again = (await machine.wf("archive", "resubmit", uid, "-o", "name")).strip()
    assert again != name
    assert await machine.wf("archive", "delete", uid) == f"Archived workflow '{uid}' deleted\n"
    assert "the archive has no workflow" in await machine.wf("archive", "get", uid, code=2)


async def test_those_that_a_selector_means_are_stopped_and_the_ended_ones_left_alone(machine: Machine) -> None:
    obj = {**HELLO, "metadata": {"generateName": "hello-", "labels": {"group": "one"}}}
    names = [(await machine.wf("submit", machine.file(obj), "-o", "name")).strip() for _ in range(2)]
    for name in names:
        await machine.until(name, "ǁ ask")
    await machine.wf("terminate", names[0])
    await machine.until(names[0], "Finished:")
    assert await machine.wf("stop", "-l", "group=one", "--dry-run") == f"workflow {names[1]} stopped (dry-run)\n"
    assert await machine.wf("stop", "-l", "group=one") == f"workflow {names[1]} stopped\n"
    await machine.until(names[1], "Stopped with strategy 'Stop'")
    assert "no workflow is named" in await machine.wf("stop", code=2)


async def test_artifacts_are_copied_from_the_local_store(machine: Machine, tmp_path: Path) -> None:
    outputs = {"artifacts": [{"name": "o", "path": str(tmp_path / "made.txt"), "archive": {"none": {}}}]}
    container = {"image": "busybox", "command": ["sh", "-c"], "args": [f"echo made >{tmp_path}/made.txt"]}
    leaf = {"name": "main", "container": container, "outputs": outputs}
    obj = {**HELLO, "spec": {"entrypoint": "main", "templates": [leaf]}}
    name = (await machine.wf("submit", machine.file(obj), "-o", "name")).strip()
    await machine.wf("wait", name)
    target = tmp_path / "copies" / "default" / name / name / "outputs" / "o" / "made.txt"
    assert await machine.wf("cp", name, str(tmp_path / "copies")) == f"{target}\n"
    assert target.read_text() == "made\n"
    await machine.wf("cp", name, str(tmp_path / "flat"), "--path", "{artifactName}", "--artifact-name", "o")
    assert (tmp_path / "flat" / "o" / "made.txt").exists()
    assert "has no such artifact" in await machine.wf("cp", name, str(tmp_path), "--artifact-name", "p", code=2)
    assert "cannot be filled" in await machine.wf("cp", name, str(tmp_path), "--path", "{what}", code=2)
