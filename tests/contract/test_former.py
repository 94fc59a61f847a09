"""What every bus says of a former reader when there never was one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.role_buses import world_of

from eventbus.former import FormerReader

READER = FormerReader("s", "t", {"orders": ("hooks", "orders")})


@pytest.fixture(params=["memory", "jetstream", "source", "sensor"])
async def bus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    world: Any = world_of(request.param, tmp_path)
    yield await world.bus()
    await world.close()


async def test_without_a_former_reader_nothing_is_left_and_nothing_is_waited_for(bus: Any) -> None:
    async with asyncio.timeout(10):
        assert await bus.former(READER, pytest.fail) is None


async def test_dismissing_what_is_not_there_changes_nothing(bus: Any) -> None:
    await bus.dismiss(("group-1", "group-2"))
    await bus.dismiss(())
