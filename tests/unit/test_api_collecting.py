"""Garbage collection by owner references: background, foreground, orphans."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.api_kept_objects import Kept, owned_by
from support.api_running import SECONDS, hurried, metadata, running

from events.local.apiserver.objects.deleting import FOREGROUND, ORPHAN


@hurried
async def test_dependents_go_with_their_owner_through_all_kinds_and_generations(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        first = await kept.make("deployments", "first", "default", "apps")
        second = await kept.make("replicasets", "second", "default", "apps", metadata=owned_by(first))
        third = await kept.make("pods", "third", "default", metadata=owned_by(second))
        await kept.remove(first, "Background")
        await asyncio.sleep(SECONDS)
        assert [kept.now(it) for it in (first, second, third)] == [None] * 3


@hurried
async def test_a_foreground_owner_goes_after_those_that_block_it(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        owner = await kept.make("configmaps", "owner", "default")
        holds = {**owned_by(owner), "finalizers": ["example.com/hold"]}
        blocking = await kept.make("configmaps", "blocking", "default", metadata=holds)
        loose = await kept.make("configmaps", "loose", "default", metadata=owned_by(owner, blocks=False))
        await kept.remove(owner, "Foreground")
        await asyncio.sleep(SECONDS)
        assert metadata(kept, owner)["finalizers"] == [FOREGROUND]
        assert metadata(kept, blocking)["deletionTimestamp"]
        await kept.edit(blocking, finalizers=None)
        await asyncio.sleep(SECONDS)
        assert [kept.now(it) for it in (owner, blocking, loose)] == [None] * 3


@hurried
async def test_a_foreground_owner_lets_go_of_dependents_that_others_own_too(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        going, staying = await kept.make("configmaps", "a", "default"), await kept.make("configmaps", "b", "default")
        shared = await kept.make("configmaps", "c", "default", metadata=owned_by(going, staying))
        await asyncio.sleep(SECONDS)
        await kept.remove(going, "Foreground")
        await asyncio.sleep(SECONDS)
        assert kept.now(going) is None
        assert metadata(kept, shared)["ownerReferences"] == owned_by(staying)["ownerReferences"]


@hurried
async def test_a_foreground_owner_goes_when_its_dependent_stops_being_one(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        owner = await kept.make("configmaps", "owner", "default")
        holds = {**owned_by(owner), "finalizers": ["example.com/hold"]}
        dependent = await kept.make("configmaps", "dependent", "default", metadata=holds)
        await kept.remove(owner, "Foreground")
        await asyncio.sleep(SECONDS)
        assert kept.now(owner)
        await kept.edit(dependent, ownerReferences=None)
        await asyncio.sleep(SECONDS)
        assert kept.now(owner) is None


@hurried
async def test_owners_of_each_other_do_not_wait_for_ever(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        one = await kept.make("configmaps", "one", "default")
        two = await kept.make("configmaps", "two", "default", metadata=owned_by(one))
        await kept.edit(one, **owned_by(two))
        await kept.remove(one, "Foreground")
        await asyncio.sleep(SECONDS)
        assert [kept.now(one), kept.now(two)] == [None, None]


@hurried
async def test_orphans_live_on_without_their_owner(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        owner = await kept.make("configmaps", "owner", "default")
        dependents = [
            await kept.make("configmaps", name, "default", metadata=owned_by(owner)) for name in ("one", "two")
        ]
        await kept.remove(owner, "Orphan")
        assert metadata(kept, owner)["finalizers"] == [ORPHAN]
        await asyncio.sleep(SECONDS)
        assert kept.now(owner) is None
        assert all("ownerReferences" not in metadata(kept, it) for it in dependents)


@hurried
async def test_only_the_reference_to_an_owner_that_is_gone_is_removed(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        going, staying = await kept.make("configmaps", "a", "default"), await kept.make("configmaps", "b", "default")
        shared = await kept.make("configmaps", "c", "default", metadata=owned_by(going, staying))
        await kept.remove(going)
        await asyncio.sleep(SECONDS)
        assert metadata(kept, shared)["ownerReferences"] == owned_by(staying)["ownerReferences"]
        await kept.remove(staying)
        await asyncio.sleep(SECONDS)
        assert kept.now(shared) is None


@hurried
async def test_an_owner_is_its_uid_in_its_own_namespace(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        owner = await kept.make("configmaps", "owner", "default")
        namesake = {**owner, "metadata": {**owner["metadata"], "uid": "another"}}
        absent = [
            await kept.make("secrets", "namesake", "default", metadata=owned_by(namesake)),
            await kept.make("secrets", "elsewhere", "kube-system", metadata=owned_by(owner)),
        ]
        left = [
            await kept.make("secrets", "right", "default", metadata=owned_by(owner)),
            await kept.make("nodes", "of-namespaced", metadata=owned_by(owner)),
            await kept.make("secrets", "unknown", "default", metadata=owned_by({**owner, "kind": "Nothing"})),
        ]
        await asyncio.sleep(SECONDS)
        assert [kept.now(it) for it in absent] == [None, None]
        assert all(kept.now(it) for it in left)
