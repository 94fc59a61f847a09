"""Why the servers of an EventBus are not ready: told by its condition, against both Kubernetes APIs."""

from __future__ import annotations

from typing import Any

import pytest
from support.dependents import World
from support.event_buses import APPS, BASE, JETSTREAM, Buses

from eventbus import resources
from events.kube.api import Object


@pytest.fixture
async def buses(world: World) -> Buses:
    return Buses(world)


def pod_of(servers: Object) -> Object:
    """The first pod, as a StatefulSet makes it."""
    template = servers["spec"]["template"]
    keys = ("name", "image")
    containers = [{key: one[key] for key in keys} for one in template["spec"]["containers"]]
    meta = {"name": f"{BASE}-0", "labels": template["metadata"]["labels"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}}


def container(**state: Any) -> dict[str, Any]:
    """The status of a pod whose server is in this state."""
    one = {"name": "main", "image": "nats", "imageID": "", "ready": False, "restartCount": 3, **state}
    return {"phase": "Running", "containerStatuses": [one]}


WAITING = "back-off 5m0s restarting failed container"
ENDED = {"exitCode": 1, "reason": "Error", "message": "[7] starting\n[7] [FTL] can't start JetStream: no space left\n"}
UNPLACED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (
            container(state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}),
            "ImagePullBackOff",
            f"0 of 3 pods are ready; pod {BASE}-0: no such image",
        ),
        (
            container(
                state={"waiting": {"reason": "CrashLoopBackOff", "message": WAITING}}, lastState={"terminated": ENDED}
            ),
            "CrashLoopBackOff",
            f"pod {BASE}-0: the container ends with exit code 1: [7] [FTL] can't start JetStream: no space left",
        ),
        ({"phase": "Pending", "conditions": [UNPLACED]}, "Unschedulable", "0/3 nodes are available"),
        (container(), "PodsNotReady", f"pod {BASE}-0 runs and is not ready yet: its log says why"),
    ],
)
async def test_why_its_pods_are_not_ready_is_told(buses: Buses, status: Any, reason: str, message: str) -> None:
    async with buses.running():
        await buses.world.put("EventBus", "default", JETSTREAM)
        servers = await buses.servers()
        await buses.world.kube.kube.create(pod_of(servers), namespace=buses.world.namespace)
        await buses.world.change("Pod", f"{BASE}-0", {"status": status}, "v1", status=True)
        await buses.deployed("False", reason, message)
        await buses.ready()
        await buses.deployed("True", "Succeeded")


async def test_a_claim_without_a_volume_is_told(buses: Buses) -> None:
    labels = resources.labels("default")
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    meta = {"name": f"data-{BASE}-0", "labels": labels}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim}
    async with buses.running() as controller:
        await buses.world.put("EventBus", "default", JETSTREAM)
        await buses.deployed("False", "PodsNotReady")
        await buses.world.kube.kube.create(body, namespace=buses.world.namespace)
        controller.again()
        why = f"PersistentVolumeClaim data-{BASE}-0 waits for a volume of 1Gi of StorageClass 'fast'"
        await buses.deployed("False", "VolumesPending", why)


async def test_who_refuses_its_pods_is_told(buses: Buses) -> None:
    async with buses.running() as controller:
        await buses.world.put("EventBus", "default", JETSTREAM)
        await buses.deployed("False", "PodsNotReady")
        servers = await buses.servers()
        about = {"apiVersion": APPS, "kind": "StatefulSet", "name": BASE, "namespace": buses.world.namespace}
        why = (
            f'create Pod {BASE}-0 in StatefulSet {BASE} failed error: pods "{BASE}-0" is forbidden: exceeded quota: few'
        )
        event = {"reason": "FailedCreate", "type": "Warning", "message": why}
        event["involvedObject"] = about | {"uid": servers["metadata"]["uid"]}
        names = {"metadata": {"name": "refused"}, "apiVersion": "v1", "kind": "Event"}
        await buses.world.kube.kube.create(names | event, namespace=buses.world.namespace)
        controller.again()
        await buses.deployed("False", "FailedCreate", f"0 of 3 pods are ready; {why}")
