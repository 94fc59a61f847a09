"""A hundred workflows on `keryx up`, killed twice in the middle: all of them end well, and nobody has to help."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import kubectls
from support.machine import Machine, machine

from events.kube.client import KubeClient
from events.local.workflows.engine import lost

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(900),
]

COUNT = 100
SECONDS = 400.0
Object = dict[str, Any]
SHAPES = ("one", "steps", "dag", "retry", "suspend", "script")


def workflow(number: int, marks: Path) -> Object:
    """One of each shape in turn; every pod notes its beginning and its end in a file with its name."""
    shape = SHAPES[number % len(SHAPES)]
    note = f"{marks}/{{{{pod.name}}}}"
    work = f"echo start >> {note}; sleep 0.{number % 7}; echo end >> {note}"
    leaf = {"name": "leaf", "container": {"image": "busybox", "command": ["sh", "-c"], "args": [work]}}
    step = {"name": "a", "template": "leaf"}
    others: list[Object] = [leaf]
    match shape:
        case "one":
            return obj(f"{shape}-{number}", "leaf", leaf)
        case "steps":
            main = {"steps": [[step], [{**step, "name": "b"}, {**step, "name": "c"}], [{**step, "name": "d"}]]}
        case "dag":
            after = [{**step, "name": name, "depends": "a"} for name in ("b", "c")]
            main = {"dag": {"tasks": [step, *after, {**step, "name": "d", "depends": "b && c"}]}}
        case "retry":
            flag = f"{marks}/{shape}-{number}-failed"
            text = f"{work}; [ -e {flag} ] || {{ touch {flag}; exit 1; }}"
            tried = {"image": "busybox", "command": ["sh", "-c"], "args": [text]}
            others = [{"name": "leaf", "retryStrategy": {"limit": 2}, "container": tried}]
            main = {"steps": [[step]]}
        case "suspend":
            others.append({"name": "wait", "suspend": {"duration": "2"}})
            main = {"steps": [[step], [{"name": "w", "template": "wait"}], [{**step, "name": "b"}]]}
        case _:
            source = f"{work}; echo said-{number}"
            others = [{"name": "gen", "script": {"image": "busybox", "command": ["sh"], "source": source}}]
            says = f'{work}; [ "{{{{inputs.parameters.m}}}}" = said-{number} ]'
            use = {"image": "busybox", "command": ["sh", "-c"], "args": [says]}
            others.append({"name": "use", "inputs": {"parameters": [{"name": "m"}]}, "container": use})
            given = {"parameters": [{"name": "m", "value": "{{steps.a.outputs.result}}"}]}
            main = {
                "steps": [[{"name": "a", "template": "gen"}], [{"name": "b", "template": "use", "arguments": given}]]
            }
    return obj(f"{shape}-{number}", "main", {"name": "main", **main}, *others)


def obj(name: str, entrypoint: str, *templates: Object) -> Object:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"entrypoint": entrypoint, "templates": list(templates)},
    }


@asynccontextmanager
async def client(here: Machine) -> AsyncIterator[KubeClient]:
    found = KubeClient(str(here.kubeconfig))
    try:
        yield found
    finally:
        await found.aclose()


async def workflows(api: KubeClient) -> list[Object]:
    resource = await api.resource("argoproj.io/v1alpha1", "Workflow")
    return list((await api.list(resource, namespace="default"))["items"])


async def once(api: KubeClient, here: Machine, is_so: Callable[[list[Object]], Any]) -> list[Object]:
    """All workflows, once they are so."""
    ends = time.monotonic() + SECONDS
    while not is_so(found := await workflows(api)):
        assert time.monotonic() < ends, [*unfinished(found), here.process.err[-3000:]]
        await asyncio.sleep(0.2)
    return found


def unfinished(several: list[Object]) -> list[Any]:
    return [
        (one["metadata"]["name"], one.get("status")) for one in several if one.get("status", {}).get("phase") != SUCCESS
    ][:3]


SUCCESS = "Succeeded"


def succeeded(several: list[Object]) -> set[str]:
    """Names of the nodes whose pods are reported to have succeeded, as they are noted by pods."""
    return {
        pod_of(one, node)
        for one in several
        for node in (one.get("status", {}).get("nodes") or {}).values()
        if node["type"] == "Pod" and node["phase"] == SUCCESS
    }


def pod_of(one: Object, node: Object) -> str:
    """`workflow` or `workflow-template-hash`."""
    name = one["metadata"]["name"]
    return name if node["id"] == name else f"{name}-{node['templateName']}-{node['id'].rpartition('-')[2]}"


async def test_a_hundred_workflows_survive_two_deaths_of_the_machine(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    moments = sorted(random.Random(seed).sample(range(5, COUNT), 2))
    marks = tmp_path / "marks"
    marks.mkdir()
    noted: dict[str, str] = {}
    async with machine(tmp_path) as here:
        async with client(here) as api:
            for number in range(COUNT):
                await api.create(workflow(number, marks))
        for moment in moments:
            async with client(here) as api:
                found = await once(api, here, lambda several, least=moment: len(succeeded(several)) >= least)
            noted |= {name: (marks / name).read_text() for name in succeeded(found)}
            here.process.kill()
            await here.start()
        async with client(here) as api:
            ended = ("Succeeded", "Failed", "Error")
            found = await once(api, here, lambda all_: all(it.get("status", {}).get("phase") in ended for it in all_))
            assert unfinished(found) == [], seed
            assert len(found) == COUNT
            again = [name for name, text in noted.items() if (marks / name).read_text() != text]
            assert again == [], (seed, "these had succeeded before, and were run once more")
            pods = (await api.list(await api.resource("v1", "Pod"), namespace="default"))["items"]
        phases = {one["metadata"]["name"]: one["status"]["phase"] for one in pods}
        # One that nobody saw end is Failed, whatever its files say of how it ended.
        unseen = {one["metadata"]["name"] for one in pods if lost.is_cut_off(one)}
        assert {phases[name] for name in noted.keys() - unseen} == {SUCCESS}
        for name in [one for one in sorted(noted.keys() - unseen) if "-gen-" in one][:3]:
            assert await here.kubectl("logs", name) == f"said-{name.split('-')[1]}\n"
        begun_again = [
            node
            for one in found
            for node in one["status"]["nodes"].values()
            if node.get("failedPodRestarts") and node["phase"] == SUCCESS
        ]
        assert begun_again, (seed, "nothing was cut off: this has shown nothing")
        assert all("its pod was cut off" in node["message"] for node in begun_again)
        assert not here.processes()
