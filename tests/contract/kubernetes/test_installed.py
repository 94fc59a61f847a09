"""The whole: installed by kubectl, the controller with its own account, every manifest there is, until nothing remains.

On our own server a stand-in plays the controllers of Deployments and StatefulSets; on a real cluster they are real, and
their pods cannot be pulled: then it is the reasons that are seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.beside import in_thread
from support.cluster import Cluster
from support.keryx import Keryx
from support.terminal import Terminal
from support.workload_player import Player

from events.app import manifests
from events.app.manifests.roles import CONTROLLER, NAMESPACE
from events.kube.client import connect

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT.parent / "shared/upstream-examples"
FOLDERS = [ROOT / "examples", *([PUBLISHED] if PUBLISHED.is_dir() else [])]
# A key in the wrong place, and one that is none: refused at apply.
REFUSED = ("trigger-with-policy.yaml", "09-http-trigger/sensor-02.yaml")
OURS = ("sensors.argoproj.io", "eventsources.argoproj.io", "eventbus.argoproj.io")
MADE = ("deployments", "statefulsets", "services", "configmaps", "secrets", "poddisruptionbudgets", "pvc")
SETTLED = 100.0


def objects() -> Iterator[dict[str, Any]]:
    """Sensors and EventSources of all folders, in any namespace, each with a name of its own."""
    count = 0
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.yaml")):
            for one in yaml.safe_load_all(path.read_text()):
                if one and one.get("kind") in ("Sensor", "EventSource") and not str(path).endswith(REFUSED):
                    count += 1
                    name = path.stem[:40].lower().replace("_", "-")
                    yield {**one, "metadata": {"name": f"{name}-{count}"}}


@contextmanager
def controller(kubectl: Terminal, cluster: Cluster, folder: Path) -> Iterator[Keryx]:
    """`keryx controller` as its Deployment runs it: with its account's token and the installed configuration."""
    given = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    current = next(one for one in given["contexts"] if one["name"] == given["current-context"])["context"]
    served = next(one for one in given["clusters"] if one["name"] == current["cluster"])
    token = kubectl.does(f"create token {CONTROLLER}").strip()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [served],
        "users": [{"name": CONTROLLER, "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": served["name"], "user": CONTROLLER}}],
        "current-context": "it",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    installed = kubectl.json("get configmap argo-events-controller-config")["data"]
    (folder / "config.yaml").write_text(installed["controller-config.yaml"])
    ports = ("--metrics-port", "0", "--health-port", "0")
    environ = {
        "KUBECONFIG": str(folder / "kubeconfig"),
        "NAMESPACE": NAMESPACE,
        "POD_NAME": "controller-manager-0",
        "ARGO_EVENTS_IMAGE": "registry.invalid/keryx:test",
    }
    running = Keryx(folder, "controller", "--config-file", folder / "config.yaml", *ports, environ=environ).start()
    try:
        yield running
        assert asyncio.run(running.stop()) == 0
    finally:
        running.close()


async def play(kubeconfig: str) -> None:
    kube = await connect(kubeconfig)
    try:
        async with Player(kube).playing():
            await asyncio.Event().wait()
    finally:
        await kube.aclose()


def until(question: Callable[[], Any], what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SETTLED
    while not (answer := question()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.3)
    return answer


def told(kubectl: Terminal) -> dict[str, dict[str, Any]]:
    """By kind and name: the conditions by type."""
    found = kubectl.json(f"get {','.join(OURS)}")["items"]
    return {
        f"{one['kind']}/{one['metadata']['name']}": {
            condition["type"]: condition for condition in (one.get("status") or {}).get("conditions") or ()
        }
        for one in found
    }


@pytest.mark.timeout(600)
def test_every_manifest_is_taken_up_and_in_the_end_nothing_remains(
    kubectl: Terminal, cluster: Cluster, home: str, tmp_path: Path
) -> None:
    workspace, kubectl.namespace = kubectl.namespace, home
    manifests.write(tmp_path / "manifests")
    kubectl.does(f"apply -f {tmp_path}/manifests/install.yaml")
    several = list(objects())
    with ExitStack() as stack:
        if cluster.is_ours:
            stack.enter_context(in_thread(lambda: play(cluster.kubeconfig)))
        running = stack.enter_context(controller(kubectl, cluster, tmp_path))
        kubectl.namespace = workspace
        jetstream = {"version": "latest", "persistence": {"volumeSize": "1Gi"}}
        bus = {"apiVersion": "argoproj.io/v1alpha1", "kind": "EventBus", "metadata": {"name": "default"}}
        file = kubectl.write("all.yaml", bus | {"spec": {"jetstream": jetstream}}, *several)
        assert len(kubectl.does(f"apply -f {file}").splitlines()) == len(several) + 1
        settle(kubectl, cluster, several)
        for kind in ("sensors", "eventsources", "eventbus"):
            kubectl.does(f"delete {kind}.argoproj.io --all --wait=true --timeout={int(SETTLED)}s")
        until(lambda: not left(kubectl), lambda: left(kubectl))
        assert [line for line in running.lines if "forbidden" in str(line).lower()] == []
        assert [line for line in running.lines if line["level"] == "error"] == []
    kubectl.namespace = home
    kubectl.does(f"delete -f {tmp_path}/manifests/install.yaml")


def settle(kubectl: Terminal, cluster: Cluster, several: list[dict[str, Any]]) -> None:
    """All have their conditions; on our own server all that runs is ready, elsewhere it is said why not."""

    def unsettled() -> str:
        known = told(kubectl)
        missing = []
        for name in [*(f"{one['kind']}/{one['metadata']['name']}" for one in several), "EventBus/default"]:
            deployed = known.get(name, {}).get("Deployed", {})
            if deployed.get("reason") == "NotRun":
                continue  # nothing of it is of a kind that runs
            if deployed.get("status") != "True" and (cluster.is_ours or not deployed.get("reason")):
                missing.append(f"{name}: {known.get(name)}")
        return "\n".join(missing)

    until(lambda: not unsettled(), unsettled)


def left(kubectl: Terminal) -> list[str]:
    """What is there besides what every namespace has."""
    found = kubectl.does(f"get {','.join((*OURS, *MADE))} -o name").split()
    return [one for one in found if one != "configmap/kube-root-ca.crt"]
