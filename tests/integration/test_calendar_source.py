"""The calendar source as a process that is killed: slots are kept in the bus, so that none is lost, none doubled."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.keryx import Keryx, keryx, obj, pod_environment
from support.loss import on_the_bus
from support.nats_server import NatsServer

SECOND = timedelta(seconds=1)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.kill()


async def slots(nats: NatsServer, number: int) -> list[datetime]:
    """The slots that are stored, once there are so many more than now."""
    wanted = 0
    async with asyncio.timeout(60):
        while True:
            found = await on_the_bus(nats, "src", "ev")
            wanted = wanted or len(found) + number
            if len(found) >= wanted:
                return [datetime.fromisoformat(one["eventTime"].removesuffix(" +0000 UTC")) for one in found]
            await asyncio.sleep(0.2)


async def lives(tmp_path: Path, nats: NatsServer, **entry: Any) -> list[datetime]:
    """What four processes publish, each killed, with a while in between when nothing runs."""
    calendar = {"calendar": {"ev": {"interval": "1s", "timezone": "UTC", **entry}}}
    described = base64.b64encode(json.dumps(obj("EventSource", "src", calendar)).encode()).decode()
    environ = pod_environment(nats.url) | {"EVENTSOURCE_OBJECT": described}
    async with keryx(tmp_path / "run", "eventsource-service", environ=environ) as run:
        found = await _a_life(run, nats)
        for _ in range(3):
            run.kill()
            await asyncio.sleep(3)
            run.start()
            found = await _a_life(run, nats)
        assert await run.stop() == 0
    return found


async def _a_life(run: Keryx, nats: NatsServer) -> list[datetime]:
    await run.says("Eventing server started", 30)
    return await slots(nats, 2)


async def test_all_that_was_missed_is_made_up_for_once(tmp_path: Path, nats: NatsServer) -> None:
    found = await lives(tmp_path, nats, missed="all")
    assert {later - former for former, later in pairwise(found)} == {SECOND}


async def test_one_that_was_missed_is_made_up_for(tmp_path: Path, nats: NatsServer) -> None:
    found = await lives(tmp_path, nats, missed="one")
    gaps = [later - former for former, later in pairwise(found) if later - former != SECOND]
    assert found == sorted(set(found))
    assert len(gaps) == 3
    assert min(gaps) > SECOND
