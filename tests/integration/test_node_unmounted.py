"""`keryx up` where nothing can be mounted: pods find their files, names and rights all the same."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from support import kubectls
from support.machine import Machine, machine, pod, shell

from eventbus import server_config
from eventbus.roles import ROLES
from events import yamls

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(400),
]
WALK_THROUGH = Path(__file__).parents[2] / "examples" / "walkthrough"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path, "--crash-backoff", "1", "--mounts", "none", "--refresh", "1") as found:
        yield found


async def test_volumes_are_found_in_commands_environment_probes_and_exec(here: Machine) -> None:
    await here.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": {"greeting": "hello"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": "s3cret"}},
    )
    script = (
        "cat /shared/made /etc/texts/greeting $KEY /etc/part /var/run/secrets/kubernetes.io/serviceaccount/namespace; "
        "echo; pwd; touch /shared/ready; echo last > /dev/termination-log; until [ -f /shared/go ]; do sleep 0.1; done"
    )
    one = shell("one", script)
    probe = {"exec": {"command": ["test", "-f", "/shared/ready"]}, "periodSeconds": 1, "timeoutSeconds": 20}
    mounts = [{"name": name, "mountPath": path} for name, path in (("shared", "/shared"), ("texts", "/etc/texts"))]
    mounts += [
        {"name": "keys", "mountPath": "/etc/keys"},
        {"name": "texts", "mountPath": "/etc/part", "subPath": "greeting"},
    ]
    one["spec"]["volumes"] = [
        {"name": "shared", "emptyDir": {}},
        {"name": "texts", "configMap": {"name": "texts"}},
        {"name": "keys", "secret": {"secretName": "keys"}},
    ]
    first = {"name": "first", "image": "busybox", "command": ["sh", "-c", "echo made > /shared/made"]}
    one["spec"]["initContainers"] = [first | {"volumeMounts": mounts[:1]}]
    more = {"volumeMounts": mounts, "workingDir": "/shared", "readinessProbe": probe}
    one["spec"]["containers"][0] |= more | {"env": [{"name": "KEY", "value": "/etc/keys/key"}]}
    await here.apply(one)
    it = await here.until(lambda it: ready(it), "pod", "one")
    conditions = {one["type"]: one for one in it["status"]["conditions"]}
    assert conditions["VolumesMounted"]["status"] == "False"
    assert "KERYX_ROOT" in conditions["VolumesMounted"]["message"]
    assert await here.kubectl("exec", "one", "--", "cat", "/etc/texts/greeting") == "hello"
    await here.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": {"greeting": "bye"}}
    )
    async with asyncio.timeout(60):
        while await here.kubectl("exec", "one", "--", "cat", "/etc/texts/greeting") != "bye":
            await asyncio.sleep(0.2)
    await here.kubectl("exec", "one", "--", "touch", "/shared/go")
    it = await here.phase("one", "Succeeded", "Failed")
    first_line, second, place = (await here.kubectl("logs", "one", "-c", "main")).splitlines()
    assert (first_line, second) == ("made", "hellos3crethellodefault")
    assert place == f"{here.data}/node/pods/{it['metadata']['uid']}/volumes/shared"
    assert it["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "last\n"
    assert not Path("/shared").exists()


def ready(it: dict[str, Any]) -> bool:
    """Whether the pod says so."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in it["status"].get("conditions") or ())


async def test_names_of_services_are_known_to_curl_wget_and_python(here: Machine) -> None:
    serve = ["python", "-u", "-m", "http.server", "8125", "--bind", "$(POD_IP)"]
    probe = {"readinessProbe": {"tcpSocket": {"port": 8125}, "periodSeconds": 1}}
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8125}]}
    await here.apply(
        pod("web", *serve, image="python:3.12", policy="Always", container=probe),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec},
    )
    await here.until(ready, "pod", "web")
    asks = "import urllib.request as u; print(u.urlopen('http://web.default.svc/').status)"
    await here.apply(
        pod("curls", image="curlimages/curl", container={"args": ["-sSo/dev/null", "-w%{http_code}", "http://web/"]}),
        pod("python", "python3", "-c", asks, image="python:3.12"),
        shell("script", "wget -qO- http://web/ | grep -c listing; curl -s web.default/ | grep -c listing"),
    )
    for name, said in (("curls", "200\n"), ("python", "200\n"), ("script", "2\n2\n")):
        await here.phase(name, "Succeeded", "Failed")
        assert await here.kubectl("logs", name) == said


async def test_scripts_parameters_and_artifacts_of_workflows_are_handed_over(here: Machine) -> None:
    source = "import os\nopen('/work/out', 'w').write('from ' + open('/work/in').read())\nprint('said')\n"
    mounts = [{"name": "work", "mountPath": "/work"}]
    makes = {
        "name": "makes",
        "inputs": {"artifacts": [{"name": "in", "path": "/work/in", "raw": {"data": "raw"}}]},
        "outputs": {
            "parameters": [{"name": "out", "valueFrom": {"path": "/work/out"}}],
            "artifacts": [{"name": "kept", "path": "/work/out"}],
        },
        "script": {"image": "python:3.12", "command": ["python"], "source": source, "volumeMounts": mounts},
    }
    given = "{{inputs.parameters.text}} {{inputs.parameters.said}}"
    shows = {
        "name": "shows",
        "inputs": {
            "parameters": [{"name": "text"}, {"name": "said"}],
            "artifacts": [{"name": "kept", "path": "/work/kept"}],
        },
        "container": {
            "image": "busybox",
            "command": ["sh", "-c"],
            "args": [f"echo {given} $(cat /work/kept)"],
            "volumeMounts": mounts,
        },
    }
    outputs = "{{steps.make.outputs"
    told = {
        "parameters": [
            {"name": "text", "value": outputs + ".parameters.out}}"},
            {"name": "said", "value": outputs + ".result}}"},
        ],
        "artifacts": [{"name": "kept", "from": outputs + ".artifacts.kept}}"}],
    }
    steps = [[{"name": "make", "template": "makes"}], [{"name": "show", "template": "shows", "arguments": told}]]
    spec = {
        "entrypoint": "all",
        "volumes": [{"name": "work", "emptyDir": {}}],
        "templates": [{"name": "all", "steps": steps}, makes, shows],
    }
    names = {"name": "hands-over", "namespace": "default"}
    await here.apply({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": names, "spec": spec})
    ended = ("Succeeded", "Failed", "Error")
    it = await here.until(lambda it: (it.get("status") or {}).get("phase") in ended, "workflow", "hands-over")
    assert it["status"]["phase"] == "Succeeded", it["status"]
    said = await here.kubectl("logs", "-l", "workflows.argoproj.io/workflow=hands-over", "--tail=-1", "--prefix")
    assert "from raw said from raw" in said
    assert not Path("/work/in").exists()


async def test_the_walk_through_with_a_secret_and_new_passwords_of_the_bus(here: Machine) -> None:
    """Bus of three with TLS and passwords, source, sensor, Workflow; the endpoint wants a token of a Secret."""
    await here.kubectl("create", "namespace", "argo-events")
    found = [one for file in sorted(WALK_THROUGH.glob("*.yaml")) for one in yamls.load_all(file.read_text())]
    for one in found:
        if one["kind"] == "EventSource":
            (endpoint,) = one["spec"]["webhook"].values()
            endpoint["authSecret"] = {"name": "token", "key": "token"}
    text = yaml.safe_dump_all([*found, token("first")])
    await here.kubectl("apply", "-n", "argo-events", "-f", "-", stdin=text)
    await here.kubectl(
        *("wait", "-n", "argo-events", "--for=condition=Deployed", "--timeout=120s"), "eventsource/webhook"
    )
    await posted(here, "first", "this is my first webhook", 200)
    assert "< this is my first webhook >" in await whale(here, 1)
    await here.kubectl("apply", "-n", "argo-events", "-f", "-", stdin=yaml.safe_dump(token("second")))
    await posted(here, "second", "this is another", 200)
    await posted(here, "first", "refused", 401)
    assert "< this is another >" in await whale(here, 2)
    name, auth = await passwords(here)
    for user, password in server_config.users(auth).items():
        if user in ROLES:
            auth = auth.replace(password, f"new{password}")
    data = {"data": {"auth": base64.b64encode(auth.encode()).decode()}}
    await here.kubectl("patch", "secret", "-n", "argo-events", name, "--type=merge", "-p", json.dumps(data))
    async with asyncio.timeout(120):
        for server in range(3):
            log = ("logs", "-n", "argo-events", f"eventbus-default-js-{server}", "-c", "main")
            while "Reloaded: authorization users" not in await here.kubectl(*log):
                await asyncio.sleep(0.3)
    await posted(here, "second", "with new passwords", 200)
    assert "< with new passwords >" in await whale(here, 3)


def token(text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": text}}


async def passwords(here: Machine) -> tuple[str, str]:
    """Name and content of the Secret of the bus's servers."""
    found = json.loads(await here.kubectl("get", "secrets", "-n", "argo-events", "-o", "json"))["items"]
    servers = [one for one in found if "auth" in one["data"]]
    assert servers, [(one["metadata"]["name"], list(one["data"])) for one in found]
    return servers[0]["metadata"]["name"], base64.b64decode(servers[0]["data"]["auth"]).decode()


async def posted(here: Machine, secret: str, message: str, status: int) -> None:
    """POST to the pod of the source, until it says so."""
    pods = json.loads(
        await here.kubectl("get", "pods", "-n", "argo-events", "-l", "eventsource-name=webhook", "-o", "json")
    )
    address = pods["items"][0]["status"]["podIP"]
    headers = {"Authorization": f"Bearer {secret}"}
    async with asyncio.timeout(120), aiohttp.ClientSession(headers=headers) as session:
        while True:
            try:
                body = {"message": message}
                async with session.post(f"http://{address}:9100/example", json=body) as answer:
                    if answer.status == status:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.2)


async def whale(here: Machine, number: int) -> str:
    """The logs of all Workflows, once so many have succeeded."""
    async with asyncio.timeout(120):
        while True:
            found = json.loads(await here.kubectl("get", "wf", "-n", "argo-events", "-o", "json"))["items"]
            phases = [(one.get("status") or {}).get("phase") for one in found]
            assert "Failed" not in phases
            if phases.count("Succeeded") >= number:
                break
            await asyncio.sleep(0.2)
    label = "workflows.argoproj.io/workflow"
    return await here.kubectl("logs", "-n", "argo-events", "-l", label, "--tail=-1", "--prefix")
