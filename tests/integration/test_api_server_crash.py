"""The API server killed again and again under writers: what was confirmed is there, a watch sees each version once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from support.api_server import ApiServer

WRITERS = 50
PATH = "/api/v1/namespaces/default/configmaps"
MINE = {"labelSelector": "crash=1"}


@dataclass
class World:
    """What writers were told, and what the watch saw."""

    confirmed: dict[str, int] = field(default_factory=dict)
    """By name, the version of the last write that was answered."""
    versions: set[int] = field(default_factory=set)
    """Of every write that was answered."""
    seen: list[tuple[int, str, str]] = field(default_factory=list)
    position: str = ""
    is_ending: bool = False


async def write(client: aiohttp.ClientSession, world: World, number: int, turns: Iterator[int]) -> None:
    """Create objects and change them, as fast as it goes, until the server is gone."""
    name = f"w{number}"
    while not world.is_ending:
        turn = next(turns)
        body = {"metadata": {"name": name, "labels": {"crash": "1"}}, "data": {"turn": str(turn)}}
        is_new = name not in world.confirmed
        method, path = ("POST", PATH) if is_new else ("PUT", f"{PATH}/{name}")
        async with client.request(method, path, data=orjson.dumps(body), headers=JSON) as answer:
            if answer.status == 409 and is_new:  # written in an earlier life, but nobody was told
                world.confirmed[name] = 0
                continue
            assert answer.status in (200, 201), await answer.text()
            version = int(orjson.loads(await answer.read())["metadata"]["resourceVersion"])
            world.confirmed[name] = version
            world.versions.add(version)


JSON = {"Content-Type": "application/json"}


async def watch(client: aiohttp.ClientSession, world: World) -> None:
    """Go on where the last watch was."""
    query = {**MINE, "watch": "1", "resourceVersion": world.position, "allowWatchBookmarks": "true"}
    async with client.get(PATH, params=query) as answer:
        async for line in answer.content:
            note(world, orjson.loads(line))


def note(world: World, event: dict[str, Any]) -> None:
    assert event["type"] != "ERROR", event
    metadata = event["object"]["metadata"]
    world.position = metadata["resourceVersion"]
    if event["type"] != "BOOKMARK":
        world.seen.append((int(world.position), event["type"], metadata["name"]))


async def life(server: ApiServer, world: World, chance: random.Random, turns: Iterator[int]) -> None:
    """One life of the server, up to its death at a random moment."""
    async with server.client() as client:
        if not world.position:
            async with client.get(PATH, params=MINE) as answer:
                world.position = (await answer.json())["metadata"]["resourceVersion"]
        tasks = [asyncio.create_task(write(client, world, number, turns)) for number in range(WRITERS)]
        tasks.append(asyncio.create_task(watch(client, world)))
        await asyncio.sleep(chance.uniform(0.2, 0.7))
        broken = [task.exception() for task in tasks if task.done()]
        assert not broken, broken
        server.kill()
        for task in tasks:
            with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
                await asyncio.wait_for(task, 30)


@pytest.mark.timeout(180)
async def test_confirmed_writes_survive_and_a_watch_sees_each_version_once(tmp_path: Path, rounds: int) -> None:
    server, world, chance = ApiServer(tmp_path), World(), random.Random(7)
    turns = iter(range(10**9))
    try:
        for _ in range(4 * rounds):
            await server.start()
            await life(server, world, chance, turns)
        await server.start()
        async with server.client() as client:
            async with client.get(PATH, params=MINE) as answer:
                listed = await answer.json()
            now = {one["metadata"]["name"]: int(one["metadata"]["resourceVersion"]) for one in listed["items"]}
            for name, version in world.confirmed.items():
                assert now[name] >= version, f"{name}: {version} was confirmed, {now[name]} is there"
            end = int(listed["metadata"]["resourceVersion"])
            assert end >= max(world.versions)
            query = {**MINE, "watch": "1", "resourceVersion": world.position, "timeoutSeconds": "1"}
            async with client.get(PATH, params=query) as answer:
                async for line in answer.content:
                    note(world, orjson.loads(line))
        seen = [version for version, _, _ in world.seen]
        assert seen == sorted(set(seen)), "versions grow, each is seen once"
        assert world.versions <= set(seen), "what was confirmed was seen"
        assert set(now.values()) <= set(seen), "what is there was seen"
        assert await server.stop() == 0
        assert len(world.versions) > 100
    finally:
        server.process.close()
