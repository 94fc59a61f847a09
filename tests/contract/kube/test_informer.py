"""What an informer knows is what is there: through cuts, expired versions, gaps and failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.breaking_kube import BreakingKube, beside
from support.keryx import until

from events.errors import ActionError
from events.kube.api import KubeError, Object, Resource
from events.kube.informer import Informer, Informers, without_notes
from events.kube.memory import MemoryKube
from events.logs import Log

MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
EXPIRED = KubeError(410, "Expired", "too old resource version")


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"of": "test"}}, "data": data}


class World:
    """An informer of the ConfigMaps of a namespace, and what it told."""

    def __init__(self, kube: BreakingKube, space: str, **options: Any) -> None:
        self.kube, self.space = kube, space
        self.informer = Informer(kube, "v1", "ConfigMap", namespace=space, label_selector="of=test", **options)
        self.told: list[tuple[str | None, str | None]] = []
        self.informer.subscribe(self._note)

    def _note(self, old: Object | None, new: Object | None) -> None:
        self.told.append((old and old["metadata"]["name"], new and new["metadata"]["name"]))

    @property
    def names(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.informer.all()]

    async def create(self, name: str, **data: str) -> Object:
        return await self.kube.kube.create(config_map(name, **data), namespace=self.space)

    async def delete(self, name: str) -> None:
        await self.kube.kube.delete(MAPS, name, namespace=self.space)

    async def knows(self, *names: str) -> None:
        await until(lambda: self.names == list(names), what=lambda: self.names)


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    async with beside(world.informer.run()):
        await world.informer.synced()
        yield world


async def test_what_is_there_and_what_changes_is_known(kube: BreakingKube, space: str) -> None:
    world = World(kube, space)
    await world.create("a", x="1")
    async with running(world):
        assert world.names == ["a"]
        made = await world.create("b")
        await world.knows("a", "b")
        await kube.kube.replace(made | {"data": {"x": "2"}})
        await until(lambda: (world.informer.get(space, "b") or {}).get("data") == {"x": "2"})
        await world.delete("a")
        await world.knows("b")
    assert world.told == [(None, "a"), (None, "b"), ("b", "b"), ("a", None)]
    assert world.informer.get(space, "nothing") is None
    found = world.informer.get(space, "b")
    assert found is not None
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap"), "items of lists come without"
    assert "managedFields" not in found["metadata"]


@pytest.mark.parametrize(
    "error",
    [
        ActionError("reset by peer"),
        EXPIRED,
        KubeError(500, "InternalError", "etcd is away"),
        KubeError(429, "TooManyRequests", "slow down"),
        KubeError(504, "Timeout", "Too large resource version"),
    ],
)
async def test_deletions_and_changes_in_a_gap_are_told(kube: BreakingKube, space: str, error: Exception) -> None:
    world = World(kube, space)
    await world.create("gone")
    kept = await world.create("kept", x="1")
    async with running(world):
        await until(lambda: kube.calls["watch"])
        kube.failing["watch"].append(error)
        kube.cut(error)
        await world.delete("gone")
        await world.create("new")
        await kube.kube.replace(kept | {"data": {"x": "2"}})
        await world.knows("kept", "new")
        await until(lambda: ("kept", "kept") in world.told)
    assert sorted(map(str, world.told[2:])) == sorted(map(str, [("gone", None), (None, "new"), ("kept", "kept")]))


async def test_a_version_that_the_server_forgot_is_listed_again(space: str) -> None:
    memory = MemoryKube()
    world = World(BreakingKube(memory), "ns")
    await world.create("a")
    async with running(world):
        await until(lambda: world.kube.calls["watch"])
        world.kube.failing["watch"].append(ActionError("no answer"))
        world.kube.cut()
        await world.delete("a")
        await world.create("b")
        memory.forget()
        await world.knows("b")
    assert world.informer.lists == 2
    assert world.told == [(None, "a"), (None, "b"), ("a", None)]


async def test_a_cut_watch_goes_on_without_listing(kube: BreakingKube, space: str) -> None:
    world = World(kube, space)
    async with running(world):
        for number in range(5):
            await until(lambda before=kube.calls["watch"]: kube.calls["watch"] >= before)
            kube.cut()
            await world.create(f"c{number}")
            await until(lambda name=f"c{number}": name in world.names)
    assert world.informer.lists == 1
    assert len(world.told) == 5


async def test_lists_that_fail_are_tried_again_with_growing_pauses(kube: BreakingKube, space: str) -> None:
    world = World(kube, space)
    await world.create("a")
    kube.failing["list"].extend([KubeError(500, "InternalError", "no"), KubeError(403, "Forbidden", "not you")])
    kube.failing["resource"].append(KubeError(404, "NotFound", "no matches for kind"))
    async with beside(world.informer.run()):
        await until(lambda: world.informer.failure)
        assert not world.informer.is_synced
        await world.informer.synced()
        assert world.informer.failure == ""
    assert (kube.calls["list"], world.names) == (3, ["a"])


async def test_a_server_that_always_expires_is_not_asked_in_a_hot_loop(kube: BreakingKube, space: str) -> None:
    world = World(kube, space)
    kube.failing["watch"].extend([EXPIRED] * 1000)
    async with running(world):
        await asyncio.sleep(1)
    assert kube.calls["watch"] + kube.calls["list"] < 20


async def test_watches_that_end_at_once_are_not_opened_in_a_hot_loop() -> None:
    kube = BreakingKube(MemoryKube())
    await kube.kube.aclose()  # watches of a closed one end at once
    world = World(kube, "ns")
    async with running(world):
        await asyncio.sleep(1)
    assert kube.calls["watch"] < 20


async def test_a_silent_watch_is_replaced(kube: BreakingKube, space: str) -> None:
    world = World(kube, space, silence=0.2)
    async with running(world):
        await until(lambda: kube.calls["watch"] >= 3)
        await world.create("a")
        await world.knows("a")
    assert world.informer.lists == 1


async def test_an_answer_that_is_none_of_kubernetes_is_waited_out(kube: BreakingKube, space: str) -> None:
    world = World(kube, space)
    kube.failing["list"].extend([KeyError("metadata"), TypeError("a proxy's page")])
    async with running(world):
        await world.create("a")
        await world.knows("a")


async def test_what_is_the_same_is_not_told_again(kube: BreakingKube, space: str) -> None:
    world = World(kube, space)
    await world.create("a")
    async with running(world):
        await until(lambda: kube.calls["watch"])
        kube.cut(EXPIRED)
        await until(lambda: world.informer.lists == 2)
    assert world.told == [(None, "a")]


async def test_a_resync_tells_everything_once_more(kube: BreakingKube, space: str) -> None:
    world = World(kube, space, resync=0.1)
    await world.create("a")
    async with running(world):
        await until(lambda: ("a", "a") in world.told)
    assert kube.calls["list"] == 1


async def test_indexes_follow_changes(kube: BreakingKube, space: str) -> None:
    def colours(obj: Object) -> list[str]:
        return [obj["data"]["colour"]] if obj.get("data") else []

    world = World(kube, space, indexes={"colour": colours})
    made = await world.create("a", colour="red")
    await world.create("b", colour="red")
    await world.create("c")

    def found(colour: str) -> list[str]:
        return [one["metadata"]["name"] for one in world.informer.by("colour", colour)]

    async with running(world):
        assert (found("red"), found("blue")) == (["a", "b"], [])
        await kube.kube.replace(made | {"data": {"colour": "blue"}})
        await until(lambda: found("blue") == ["a"])
        assert found("red") == ["b"]
        await world.delete("b")
        await until(lambda: found("red") == [])
        world.informer.add_index("name", lambda obj: [obj["metadata"]["name"]])
        assert [one["metadata"]["name"] for one in world.informer.by("name", "c")] == ["c"]
        with pytest.raises(ValueError, match="another index"):
            world.informer.add_index("name", lambda obj: [])


async def test_a_malformed_object_harms_no_other(kube: BreakingKube, space: str) -> None:  # P7
    world = World(kube, space, indexes={"size": lambda obj: [str(int(obj["data"]["size"]))]})
    world.informer.subscribe(lambda old, new: new and int(new["data"]["size"]))
    async with running(world):
        for name, size in (("a", "1"), ("b", "large"), ("c", "1")):
            await world.create(name, size=size)
        await world.knows("a", "b", "c")
    assert [one["metadata"]["name"] for one in world.informer.by("size", "1")] == ["a", "c"]


async def test_who_subscribes_late_is_told_what_is_there(kube: BreakingKube, space: str) -> None:
    world = World(kube, space)
    await world.create("a")
    async with running(world):
        late: list[Any] = []
        world.informer.subscribe(lambda old, new: late.append((old, new and new["metadata"]["name"])))
    assert late == [(None, "a")]


async def test_what_is_handed_out_is_a_copy(kube: BreakingKube, space: str) -> None:
    world = World(kube, space)
    await world.create("a", x="1")
    async with running(world):
        found = world.informer.get(space, "a")
        assert found is not None
        found["data"]["x"] = "changed"
        again = world.informer.get(space, "a")
    assert again is not None
    assert again["data"] == {"x": "1"}


async def test_all_controllers_share_the_informer_of_a_kind(kube: BreakingKube, space: str) -> None:
    informers = Informers(kube, namespace=space, log=Log("test"))
    maps = informers.of("v1", "ConfigMap", label_selector="of=test")
    assert informers.of("v1", "ConfigMap", label_selector="of=test", indexes={"x": lambda obj: ["x"]}) is maps
    assert informers.of("v1", "Secret") is not maps
    async with beside(informers.run()):
        await informers.synced()
        await kube.kube.create(config_map("a"), namespace=space)
        await until(lambda: maps.by("x", "x"))
    assert [one.kind for one in informers] == ["ConfigMap", "Secret"]


def test_what_others_note_of_their_own_writes_is_not_kept() -> None:
    metadata = {
        "name": "a",
        "managedFields": [{"manager": "kubectl", "fieldsV1": {}}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "kept"},
    }
    given = {"kind": "ConfigMap", "metadata": metadata}
    assert without_notes(given) == {
        "kind": "ConfigMap",
        "metadata": {"name": "a", "annotations": {"mine": "kept"}},
    }
    assert "managedFields" in given["metadata"]  # type: ignore[operator]
