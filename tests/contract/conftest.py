"""What tests of the lines stand on: a bus in memory, or both buses one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.lives import JetStreamWorld, MemoryWorld

from eventbus.memory import MemoryBroker, MemoryBus


@pytest.fixture(params=["memory", "jetstream"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    """A bus of the kind that the parameter names; `world.bus()` is one process's connection to it."""
    made: Any = MemoryWorld() if request.param == "memory" else JetStreamWorld(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def bus() -> MemoryBus:
    """A bus in memory."""
    return MemoryBus(MemoryBroker())
