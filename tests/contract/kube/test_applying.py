"""What is applied is there, what others add stays, and nothing is written where nothing would change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from support.breaking_kube import BreakingKube

from events.kube import patches
from events.kube.api import Object, Resource
from events.kube.applying import FIELD_MANAGER, HASH, Applier, differences
from events.kube.informer import without_notes
from events.kube.memory import MemoryKube

ON_A_SERVER = pytest.mark.parametrize("kube", ["server"], indirect=True)
"""Fields have no owners in memory."""
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
LABELS = {"sensor-name": "orders"}


def deployment(space: str, **container: Any) -> Object:
    containers = [{"name": "main", "image": "keryx:1", "env": [{"name": "A", "value": "1"}]} | container]
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": containers, "volumes": []}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders", "namespace": space, "labels": LABELS},
        "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template},
    }


async def live(kube: BreakingKube, space: str) -> Object:
    return await kube.kube.get(DEPLOYMENT, "orders", namespace=space)


async def test_what_is_there_is_not_written_again(kube: BreakingKube, space: str) -> None:
    applier, desired = Applier(kube), deployment(space)
    made = await applier.apply(desired, None)
    assert made["metadata"]["annotations"][HASH]
    for existing in (made, without_notes(made), await live(kube, space)):
        assert await applier.apply(copy.deepcopy(desired), existing) is existing
    assert kube.writes == 1
    assert HASH not in desired["metadata"].get("annotations", {}), "what is given stays as it is"
    assert await Applier(kube).apply(desired, made) is made, "nor after a restart"
    assert kube.writes == 1


async def test_what_changed_is_written(kube: BreakingKube, space: str) -> None:
    applier = Applier(kube)
    made = await applier.apply(deployment(space), None)
    changed = await applier.apply(deployment(space, image="keryx:2"), made)
    assert changed["spec"]["template"]["spec"]["containers"][0]["image"] == "keryx:2"
    assert (await live(kube, space))["metadata"]["generation"] == 2
    assert kube.writes == 2


async def test_a_server_that_spells_it_differently_is_asked_once_in_a_process(kube: BreakingKube, space: str) -> None:
    # Servers write quantities in their shortest form; in memory nobody does, so the difference is made by hand.
    desired = deployment(space, resources={"limits": {"cpu": "1000m"}})
    applier = Applier(kube)
    made = await applier.apply(desired, None)
    limits = made["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    for _ in range(100):
        made = await applier.apply(desired, await live(kube, space))
    assert kube.writes == 1
    if not isinstance(kube.kube, MemoryKube):
        assert limits == {"cpu": "1"}
        restarted = Applier(kube)
        for _ in range(100):
            await restarted.apply(desired, await live(kube, space))
        assert kube.writes == 2
        assert (await live(kube, space))["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_drift_is_corrected_and_a_fight_is_not_taken_up(kube: BreakingKube, space: str) -> None:
    applier, desired = Applier(kube), deployment(space)
    existing = await applier.apply(desired, None)
    for _ in range(50):
        drift = {"spec": {"replicas": 3}}
        existing = await kube.kube.patch(DEPLOYMENT, "orders", drift, content_type=patches.MERGE, namespace=space)
        existing = await applier.apply(desired, existing)
    assert kube.writes == 1 + 5, "then it is corrected less and less often"
    assert existing["spec"]["replicas"] == 3
    await applier.apply(deployment(space, image="keryx:2"), existing)
    assert (await live(kube, space))["spec"]["replicas"] == 1, "what we want to change is always written"


@ON_A_SERVER
async def test_what_others_add_stays_and_what_we_drop_goes(kube: BreakingKube, space: str) -> None:
    applier = Applier(kube)
    await applier.apply(deployment(space, workingDir="/tmp"), None)
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "mesh", "image": "mesh:1"}]}}}}
    labels = {"metadata": {"labels": {"team": "blue"}}}
    existing = await kube.kube.patch(
        DEPLOYMENT, "orders", labels | sidecar, content_type=patches.STRATEGIC, namespace=space
    )
    assert await applier.apply(deployment(space, workingDir="/tmp"), existing) is existing
    await applier.apply(deployment(space), existing)
    found = await live(kube, space)
    containers = {one["name"]: one for one in found["spec"]["template"]["spec"]["containers"]}
    assert set(containers) == {"main", "mesh"}
    assert "workingDir" not in containers["main"]
    assert found["metadata"]["labels"] == LABELS | {"team": "blue"}


@ON_A_SERVER
async def test_what_argo_events_made_is_taken_over_whole(kube: BreakingKube, space: str) -> None:
    theirs = deployment(space, env=[{"name": "SENSOR_OBJECT", "value": "e30="}, {"name": "A", "value": "0"}])
    theirs["metadata"]["annotations"] = {HASH: "1234567890"}
    made = await kube.kube.patch(  # an update by their name is what their client makes of it
        DEPLOYMENT,
        "orders",
        theirs,
        content_type=patches.APPLY,
        namespace=space,
        params={"fieldManager": "argo-events"},
    )
    entries = [entry | {"operation": "Update"} for entry in made["metadata"]["managedFields"]]
    body = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
    existing = await kube.kube.patch(DEPLOYMENT, "orders", body, content_type=patches.JSON, namespace=space)
    await Applier(kube).apply(deployment(space), without_notes(existing))
    found = await live(kube, space)
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    managers = {(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]}
    assert managers == {(FIELD_MANAGER, "Apply")}


async def test_only_the_very_object_is_deleted(kube: BreakingKube, space: str) -> None:
    applier = Applier(kube)
    made = await applier.apply(deployment(space), None)
    await applier.delete(made | {"metadata": made["metadata"] | {"uid": "of-a-former-one"}})
    assert (await live(kube, space))["metadata"]["uid"] == made["metadata"]["uid"]
    await applier.delete(made)
    await applier.delete(made)
    assert (await kube.kube.list(DEPLOYMENT, namespace=space))["items"] == []


async def test_an_object_made_anew_under_its_name_is_written_again(kube: BreakingKube, space: str) -> None:
    applier = Applier(kube)
    first = await applier.apply(deployment(space), None)
    await applier.delete(first)
    second = await applier.apply(deployment(space), None)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]


@pytest.mark.parametrize(
    ("desired", "existing", "found"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": None, "b": {}, "c": []}, {}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", 2)]),
        ({"a": [1, 2]}, {"a": [1, 3]}, [("a[1]", 3)]),
        ({"a": [1, 2]}, {"a": [1]}, [("a[0]", None)]),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y"}, {"name": "x", "v": 1, "w": 2}]}, []),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "y"}]}, [("a[0]", None)]),
        (
            {"a": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]},
            {"a": [{"name": "v", "mountPath": "/b"}, {"name": "v", "mountPath": "/a"}]},
            [],
        ),
        ({"a": [{"x": 1}]}, {"a": [{"x": 1, "y": 2}]}, []),
        ({"a": "1000m"}, {"a": "1"}, [("a", "1")]),
    ],
)
def test_a_difference_is_what_is_missing_not_what_is_more(desired: Any, existing: Any, found: Any) -> None:
    assert list(differences(desired, existing)) == found
