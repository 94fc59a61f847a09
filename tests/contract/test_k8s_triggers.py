"""Triggers that create Kubernetes objects: over memory and over the client on a socket; and what --dry-run shows."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.kube_server import Canned
from support.kube_world import CLUSTER_ROLE, WORKFLOW, WORKFLOWS, World, fire, local_world, served_world

from events import yamls
from events.errors import ActionError
from events.kube.api import KubeError
from events.kube.dry_run import DryRunKube
from events.kube.memory import MemoryKube
from events.problems import Problems
from sensors.base import Firing
from sensors.registry import TRIGGERS


@pytest.fixture(params=["memory", "client", "server"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        yield World(MemoryKube())
        return
    made = served_world(tmp_path) if request.param == "client" else local_world(tmp_path)
    async with made as world:
        yield world


both = pytest.mark.parametrize("key", ["k8s", "argoWorkflow"])


@both
async def test_an_object_is_created_with_its_makers_names(world: World, key: str) -> None:
    made = await fire(world.trigger(key))
    meta = made["metadata"]
    assert meta["namespace"] == "ns"
    assert meta["name"].startswith("build-")
    labels = dict(meta["labels"])
    assert labels.pop("events.argoproj.io/action-timestamp").isdigit()
    assert labels == {"events.argoproj.io/sensor": "orders", "events.argoproj.io/trigger": "build-it"}
    assert meta["annotations"] == {"events.argoproj.io/firing": "f-1"}
    assert made["spec"] == WORKFLOW["spec"]
    assert await world.kube.get(WORKFLOWS, meta["name"], namespace="ns") == made


@both
async def test_a_repeated_firing_makes_no_second_object(world: World, key: str) -> None:  # P4
    first = await fire(world.trigger(key))
    again = await fire(world.trigger(key))
    assert again == first
    assert len(await world.names()) == 1


@both
async def test_every_firing_trigger_and_sensor_makes_its_own(world: World, key: str) -> None:
    await fire(world.trigger(key))
    await fire(world.trigger(key), "f-2")
    await fire(world.trigger(key, name="other"))
    await fire(world.trigger(key, sensor="other"))
    assert len(set(await world.names())) == 4


async def test_after_a_policy_said_no_a_new_object_is_made(world: World) -> None:
    first = await fire(world.trigger())
    second = await fire(world.trigger(), remakes=1)
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert await fire(world.trigger(), remakes=1) == second


async def test_a_lost_answer_makes_no_second_object(tmp_path: Path) -> None:  # P4
    async with served_world(tmp_path) as world:
        assert world.server is not None
        # As the API server has it, although the answer never came.
        stored = await fire(World(world.server.kube).trigger())
        assert await fire(world.trigger()) == stored
        assert len(await world.names()) == 1


async def test_a_fixed_name_is_made_once_per_firing(world: World) -> None:
    obj = WORKFLOW | {"metadata": {"name": "fixed"}}
    trigger = world.trigger(source={"resource": obj})
    first = await fire(trigger)
    assert await fire(trigger) == first
    with pytest.raises(ActionError, match="Workflow ns/fixed was made before, by firing f-1 of this trigger"):
        await fire(trigger, "f-2")
    with pytest.raises(ActionError, match=r"made before, by somebody else: .*already exists \(409 AlreadyExists\)"):
        await fire(world.trigger(name="other", source={"resource": obj}))


async def test_somebody_elses_object_is_in_the_way(world: World) -> None:
    obj = WORKFLOW | {"metadata": {"name": "fixed"}}
    await world.kube.create(obj, namespace="ns")
    with pytest.raises(ActionError, match="by somebody else"):
        await fire(world.trigger(source={"resource": obj}))


async def test_another_conflict_is_not_taken_for_a_repeat(tmp_path: Path) -> None:
    async with served_world(tmp_path) as world:
        assert world.server is not None
        await world.kube.resource("argoproj.io/v1alpha1", "Workflow")
        status = {"kind": "Status", "reason": "Conflict", "message": "quota", "code": 409}
        world.server.canned.append(Canned(409, json.dumps(status).encode()))
        with pytest.raises(KubeError, match=r"quota \(409 Conflict\)"):
            await fire(world.trigger())


async def test_the_objects_own_namespace_wins(world: World) -> None:
    obj = WORKFLOW | {"metadata": {"generateName": "a-", "namespace": "own"}}
    trigger = world.trigger(source={"resource": obj})
    made = await fire(trigger)
    assert made["metadata"]["namespace"] == "own"
    assert await fire(trigger) == made


async def test_a_cluster_scoped_object_gets_no_namespace(world: World) -> None:  # K3
    trigger = world.trigger(source={"resource": CLUSTER_ROLE})
    made = await fire(trigger)
    assert "namespace" not in made["metadata"]
    assert await fire(trigger) == made


async def test_inline_yaml_is_created(world: World) -> None:
    made = await fire(world.trigger(source={"inline": yamls.dump(WORKFLOW)}))
    assert made["spec"] == WORKFLOW["spec"]


async def test_parameters_change_the_fetched_text_not_the_source(world: World) -> None:
    trigger = world.trigger()
    text = (await trigger.fetch()).replace('"value":"main"', '"value":"<&>"')
    made = (await trigger.execute(text, Firing("f", {}))).value
    assert made["spec"]["arguments"]["parameters"] == [{"name": "ref", "value": "<&>"}]
    assert (await fire(trigger, "g"))["spec"] == WORKFLOW["spec"]


async def test_an_unknown_kind_is_an_error(world: World) -> None:
    with pytest.raises(KubeError, match="no matches for kind 'Wrokflow'"):
        await fire(world.trigger(source={"resource": WORKFLOW | {"kind": "Wrokflow"}}))


async def test_submit_applies_its_options(world: World) -> None:
    args = ["--generate-name=other-", "-p", "ref=v1", "--labels=team=a", "--serviceaccount", "sa"]
    made = await fire(world.trigger("argoWorkflow", args=args))
    assert made["metadata"]["name"].startswith("other-")
    assert made["metadata"]["labels"]["team"] == "a"
    assert made["spec"]["serviceAccountName"] == "sa"
    assert made["spec"]["arguments"]["parameters"] == [{"name": "ref", "value": "v1"}]


async def test_submit_takes_only_workflows(world: World) -> None:
    with pytest.raises(ActionError, match=r"submit takes a Workflow of argoproj\.io, not ClusterRole"):
        await fire(world.trigger("argoWorkflow", source={"resource": CLUSTER_ROLE}))


async def test_a_name_from_an_event_is_never_an_option(world: World) -> None:  # A4
    obj = WORKFLOW | {"metadata": {"name": "--serviceaccount=admin"}}
    with pytest.raises(KubeError, match="Invalid"):
        await fire(world.trigger("argoWorkflow", source={"resource": obj}))


# validation


def problems(key: str, **raw: Any) -> list[str]:
    kind = TRIGGERS.load(key)
    found = Problems()
    kind.validate(kind.Spec.parse(raw), found.at(key))
    return [f"{one.severity.value}: {one}" for one in found]


GOOD = {"source": {"resource": WORKFLOW}}


SECRET = {"name": "s", "key": "k"}
S3 = {"endpoint": "h:9000", "bucket": {"name": "b", "key": "k"}, "accessKey": SECRET, "secretKey": SECRET}


@pytest.mark.parametrize(
    ("key", "raw", "expected"),
    [
        ("k8s", GOOD, []),
        ("k8s", GOOD | {"operation": "create"}, []),
        ("k8s", GOOD | {"operation": ""}, []),
        ("k8s", {}, ["error: k8s.source: required (give one of: configmap, file, git, inline, resource, s3, url)"]),
        (
            "k8s",
            GOOD | {"operation": "patch", "patchStrategy": "application/merge-patch+json"},
            [],
        ),
        (
            "k8s",
            GOOD | {"operation": "craete"},
            ["error: k8s.operation: unknown operation 'craete' (did you mean 'create'?)"],
        ),
        ("k8s", GOOD | {"liveObject": True}, ["warning: k8s.liveObject: means nothing with create"]),
        ("k8s", {"source": {"s3": S3}}, []),
        ("argoWorkflow", GOOD, []),  # A3
        ("argoWorkflow", GOOD | {"operation": "submit", "args": ["-p", "a=b"]}, []),
        (
            "argoWorkflow",
            {},
            ["error: argoWorkflow.source: required (give one of: configmap, file, git, inline, resource, s3, url)"],
        ),
        (
            "argoWorkflow",
            GOOD | {"operation": "suspend", "args": ["--all"]},
            ["warning: argoWorkflow.args: options of `argo suspend` are not known here"],
        ),
        (
            "argoWorkflow",
            GOOD | {"operation": "sumbit"},
            ["error: argoWorkflow.operation: unknown operation 'sumbit' (did you mean 'submit'?)"],
        ),
        (
            "argoWorkflow",
            GOOD | {"args": ["--name", "a", "--watch"]},
            ["error: argoWorkflow.args[2]: option '--watch' of argo submit is not supported (known here: "],
        ),
    ],
)
def test_what_is_wrong_is_said_at_validation(key: str, raw: dict[str, Any], expected: list[str]) -> None:
    found = problems(key, **raw)
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True)), found


@both
async def test_without_an_artifact_there_is_nothing_to_act_on(world: World, key: str) -> None:
    with pytest.raises(ActionError, match="names no artifact"):
        await fire(world.trigger(key, source=None))


# --dry-run


async def test_a_dry_run_prints_documents_and_makes_up_the_rest() -> None:
    stream = io.StringIO()
    world = World(DryRunKube(stream))
    made = await fire(world.trigger())
    role = await fire(world.trigger(source={"resource": CLUSTER_ROLE}))
    assert stream.getvalue().startswith("---\napiVersion: argoproj.io/v1alpha1\nkind: Workflow\n")
    documents = yamls.load_all(stream.getvalue())
    assert [one["metadata"].get("namespace") for one in documents] == ["ns", None]
    assert made["metadata"].pop("uid") != role["metadata"].pop("uid")
    assert documents == [made, role]


async def test_a_dry_run_makes_up_a_generated_name() -> None:
    stream = io.StringIO()
    made = await DryRunKube(stream).create(WORKFLOW)
    assert made["metadata"]["name"].startswith("build-")
    assert yamls.load_one(stream.getvalue()) == WORKFLOW, "what is printed is what would be sent"


async def test_a_dry_run_does_nothing_else() -> None:
    kube = DryRunKube(io.StringIO())
    calls: list[Any] = [
        lambda: kube.resource("v1", "Pod"),
        lambda: kube.get(WORKFLOWS, "a"),
        lambda: kube.list(WORKFLOWS),
        lambda: kube.replace(WORKFLOW),
        lambda: kube.patch(WORKFLOWS, "a", {}, content_type=""),
        lambda: kube.delete(WORKFLOWS, "a"),
        lambda: anext(kube.watch(WORKFLOWS)),
    ]
    for call in calls:
        with pytest.raises(ActionError, match="is not possible with --dry-run"):
            await call()
    await kube.aclose()
