"""Deployments, sets, jobs and services with real pods behind them, under the real kubectl."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support import kubectls
from support.http_target import http_target
from support.machine import Machine, machine, shell

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(240),
]
WAIT = "--timeout=60s"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path, "--crash-backoff", "1") as found:
        yield found


def workload(kind: str, name: str, template: dict[str, Any], **spec: Any) -> dict[str, Any]:
    group = "batch/v1" if kind == "Job" else "apps/v1"
    labels = {"app": name}
    more = {} if kind == "Job" else {"selector": {"matchLabels": labels}}
    inner = {"metadata": {"labels": labels}, "spec": template["spec"]}
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name}, "spec": more | spec | {"template": inner}}


def server(text: str) -> dict[str, Any]:
    """Answers with its text and its pod's name."""
    program = (
        "import http.server, os\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        f"        self.wfile.write(('{text} ' + os.environ['HOSTNAME'] + chr(10)).encode())\n"
        "http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), H).serve_forever()\n"
    )
    probe = {"tcpSocket": {"port": "http"}, "periodSeconds": 1}
    container = {"image": "python:3.12", "command": ["python", "-c", program], "readinessProbe": probe}
    return shell("", "", policy="Always", container=container | {"ports": [{"name": "http", "containerPort": 8080}]})


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 8090, "targetPort": "http"}]},
}


async def test_a_deployment_rolls_forward_back_and_to_another_size_behind_its_service(here: Machine) -> None:
    await here.apply(workload("Deployment", "web", server("one"), replicas=2), SERVICE, shell("client", "sleep 600"))
    await here.kubectl("rollout", "status", "deployment/web", WAIT)
    await here.phase("client", "Running")
    ask = ("exec", "client", "--", "curl", "-s", "--max-time", "20")
    said = {await here.kubectl(*ask, "http://web.default.svc:8090") for _ in range(4)}
    assert len(said) == 2, "both pods get their turn"
    assert all(text.startswith("one web-") for text in said)
    await here.apply(workload("Deployment", "web", server("two"), replicas=2))
    await here.kubectl("rollout", "status", "deployment/web", WAIT)
    assert (await here.kubectl(*ask, "http://web:8090")).startswith("two web-")
    await here.kubectl("rollout", "undo", "deployment/web")
    await here.kubectl("rollout", "status", "deployment/web", WAIT)
    assert (await here.kubectl(*ask, "http://web:8090")).startswith("one web-")
    await here.kubectl("scale", "deployment/web", "--replicas=3")
    await here.kubectl("rollout", "status", "deployment/web", WAIT)
    found = await here.get("deployment", "web")
    assert found["status"]["availableReplicas"] == 3
    sets = (await here.get("replicasets"))["items"]
    assert sorted(one["spec"]["replicas"] for one in sets) == [0, 3]
    await here.kubectl("delete", "deployment", "web", WAIT)
    await here.until(lambda it: len(it["items"]) == 1, "pods")


async def test_a_pod_that_is_killed_is_replaced(here: Machine) -> None:
    await here.apply(workload("Deployment", "web", shell("", "sleep 600", policy="Always"), replicas=1))
    await here.kubectl("rollout", "status", "deployment/web", WAIT)
    name = (await here.get("pods"))["items"][0]["metadata"]["name"]
    await here.kubectl("delete", "pod", name, WAIT)
    found = await here.until(lambda it: it["items"] and it["items"][0]["metadata"]["name"] != name, "pods")
    assert len(found["items"]) == 1


async def test_a_stateful_set_keeps_names_and_data(here: Machine) -> None:
    template = shell("", "echo $HOSTNAME >> /data/lives; sleep 600", policy="Always")
    template["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    templates = [{"metadata": {"name": "data"}, "spec": claim}]
    headless = {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 1}]}
    await here.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": headless},
        workload("StatefulSet", "db", template, serviceName="db", replicas=2, volumeClaimTemplates=templates),
    )
    await here.kubectl("rollout", "status", "statefulset/db", WAIT)
    first, second = (await here.get("pods"))["items"]
    assert [first["metadata"]["name"], second["metadata"]["name"]] == ["db-0", "db-1"]
    assert first["metadata"]["creationTimestamp"] <= second["metadata"]["creationTimestamp"]
    await here.kubectl("delete", "pod", "db-1", WAIT)
    await here.until(
        lambda it: [one["status"]["phase"] for one in it["items"] if _is_new(one, second)] == ["Running"], "pods"
    )
    await here.kubectl("rollout", "status", "statefulset/db", WAIT)
    again = await here.until(lambda it: it["status"]["readyReplicas"] == 2, "statefulset", "db")
    assert again["status"]["updatedReplicas"] == 2
    assert await here.kubectl("exec", "db-1", "--", "cat", "/data/lives") == "db-1\ndb-1\n"
    address = (await here.get("pod", "db-1"))["status"]["podIP"]
    assert address in await here.kubectl("exec", "db-0", "--", "getent", "hosts", "db-1.db.default.svc")


def _is_new(one: dict[str, Any], former: dict[str, Any]) -> bool:
    names = one["metadata"], former["metadata"]
    return names[0]["name"] == names[1]["name"] and names[0]["uid"] != names[1]["uid"]


async def test_jobs_succeed_fail_and_count(here: Machine) -> None:
    await here.apply(
        workload("Job", "three", shell("", "echo hi"), completions=3, parallelism=2),
        workload("Job", "never", shell("", "exit 1"), backoffLimit=0),
        workload("Job", "each", shell("", "echo $JOB_COMPLETION_INDEX"), completions=2, completionMode="Indexed"),
    )
    for name in ("three", "each"):
        await here.kubectl("wait", "--for=condition=Complete", f"job/{name}", WAIT)
    await here.kubectl("wait", "--for=condition=Failed", "job/never", WAIT)
    assert (await here.get("job", "three"))["status"]["succeeded"] == 3
    assert (await here.get("job", "each"))["status"]["completedIndexes"] == "0,1"
    pods = (await here.get("pods", "-l", "job-name=never"))["items"]
    assert len(pods) == 1


async def test_what_is_made_by_nobody_twice_survives_a_kill_of_the_whole(here: Machine) -> None:
    await here.apply(workload("Deployment", "web", shell("", "sleep 600", policy="Always"), replicas=3))
    await here.until(lambda it: len(it["items"]) >= 1, "pods")
    here.process.kill()
    await here.start()
    await here.kubectl("rollout", "status", "deployment/web", WAIT)
    assert len((await here.get("pods"))["items"]) == 3


async def test_a_deployment_whose_account_is_missing_says_so_and_goes_on_when_it_is_there(here: Machine) -> None:
    template = shell("lonely", "sleep 600", policy="Always", serviceAccountName="nobody")
    await here.apply(workload("Deployment", "lonely", template, replicas=1))

    def failed(it: dict[str, Any]) -> list[dict[str, Any]]:
        conditions = (it.get("status") or {}).get("conditions") or ()
        return [one for one in conditions if one["type"] == "ReplicaFailure"]

    [told] = failed(await here.until(failed, "deployment", "lonely"))
    assert 'serviceaccount "nobody" not found' in told["message"]
    assert '-" is forbidden' in told["message"], "without a name that is another one each time"
    await here.kubectl("create", "serviceaccount", "nobody")
    await here.kubectl("rollout", "status", "deployment/lonely", WAIT)
    await here.until(lambda it: not failed(it), "deployment", "lonely")


async def test_a_service_without_a_selector_leads_to_a_program_outside(here: Machine) -> None:
    async with http_target() as target:
        address, _, port = target.host.partition(":")
        service = {"ports": [{"port": 9000}]}
        names = {"name": "outside"}
        await here.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": names, "spec": service},
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": names,
                "subsets": [{"addresses": [{"ip": address}], "ports": [{"port": int(port)}]}],
            },
        )
        found = await here.get("service", "outside")
        async with aiohttp.ClientSession() as session:
            url = f"http://{found['spec']['clusterIP']}:9000/"
            async with asyncio.timeout(60):
                while not target.received:
                    with suppress(aiohttp.ClientError):
                        async with session.get(url) as answer:
                            assert await answer.text() == "ok"
                    await asyncio.sleep(0.1)


async def test_a_daemon_set_has_one_pod_on_the_node_which_is_replaced(here: Machine) -> None:
    await here.apply(
        workload("DaemonSet", "agent", shell("", "echo one; sleep 600", policy="Always")),
        workload("DaemonSet", "elsewhere", shell("", "sleep 600", policy="Always", nodeSelector={"disk": "none"})),
    )
    await here.kubectl("rollout", "status", "daemonset/agent", WAIT)
    (first,) = (await here.get("pods"))["items"]
    found = await here.until(lambda it: it["status"].get("numberAvailable") == 1, "daemonset", "agent")
    counted = {key: found["status"][key] for key in ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")}
    assert counted == {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberReady": 1}
    assert (await here.get("daemonset", "elsewhere"))["status"]["desiredNumberScheduled"] == 0
    await here.kubectl("delete", "pod", first["metadata"]["name"], WAIT)
    await here.kubectl("rollout", "status", "daemonset/agent", WAIT)
    (second,) = (await here.until(lambda it: it["items"], "pods"))["items"]
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    await here.apply(workload("DaemonSet", "agent", shell("", "echo two; sleep 600", policy="Always")))
    await here.kubectl("rollout", "status", "daemonset/agent", WAIT)
    (third,) = (await here.get("pods"))["items"]
    assert await here.kubectl("logs", third["metadata"]["name"]) == "two\n"
    await here.kubectl("delete", "daemonset", "agent", WAIT)
    await here.until(lambda it: not it["items"], "pods")


def cron_job(name: str, schedule: str, script: str, **spec: Any) -> dict[str, Any]:
    job = {"template": {"spec": shell("", script)["spec"]}}
    body = {"schedule": schedule, "jobTemplate": {"spec": job}} | spec
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": body}


async def test_cron_jobs_run_at_their_minute_by_hand_and_not_while_suspended(here: Machine) -> None:
    await here.apply(
        cron_job("minutely", "* * * * *", "echo tick", successfulJobsHistoryLimit=1),
        cron_job("resting", "* * * * *", "echo never", suspend=True),
        cron_job("yearly", "0 0 1 1 *", "echo by hand"),
    )
    await here.kubectl("create", "job", "now", "--from=cronjob/yearly")
    await here.kubectl("wait", "--for=condition=Complete", "job/now", WAIT)
    assert await here.kubectl("logs", "job/now") == "by hand\n"
    for _ in range(2):  # a minute may take longer than one look has time for
        with suppress(AssertionError):
            await here.until(lambda it: it["status"].get("lastSuccessfulTime"), "cronjob", "minutely")
    ran = await here.get("cronjob", "minutely")
    assert ran["status"]["lastScheduleTime"] <= ran["status"]["lastSuccessfulTime"]
    jobs = (await here.get("jobs"))["items"]
    owners = [one["metadata"]["ownerReferences"][0]["name"] for one in jobs if one["metadata"].get("ownerReferences")]
    assert "minutely" in owners
    assert "resting" not in owners
    (job,) = [one for one in jobs if one["metadata"]["name"].startswith("minutely-")][-1:]
    assert await here.kubectl("logs", f"job/{job['metadata']['name']}") == "tick\n"
    await here.kubectl("delete", "cronjob", "minutely", WAIT)
    await here.until(lambda it: not [one for one in it["items"] if "minutely" in one["metadata"]["name"]], "pods")


async def test_a_scaler_says_that_nothing_is_measured_and_changes_nothing(here: Machine) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5}
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}}
    await here.apply(
        workload("Deployment", "web", shell("", "sleep 600", policy="Always"), replicas=1), scaler | {"spec": spec}
    )
    found = await here.until(lambda it: (it.get("status") or {}).get("conditions"), "hpa", "web")
    (said,) = [one for one in found["status"]["conditions"] if one["type"] == "ScalingActive"]
    assert (said["status"], said["reason"]) == ("False", "NotSupported")
    assert said["message"]
    await here.kubectl("rollout", "status", "deployment/web", WAIT)
    assert (await here.get("deployment", "web"))["spec"]["replicas"] == 1
    assert "web" in await here.kubectl("get", "hpa")
