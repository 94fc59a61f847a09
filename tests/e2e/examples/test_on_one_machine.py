"""All examples, ours and those of Argo Events, on one `keryx up`: each does what its text says, or says why not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from support import kubectls
from support.aws import Aws, aws
from support.examples import own, published, published_scenes, table
from support.examples.rows import Row
from support.examples.world import OURS, PUBLISHED, World
from support.machine import machine
from support.pubsub import Emulator, emulator

Outcomes = dict[str, BaseException | None]
ROWS = [*own.ROWS, *(published.ROWS if PUBLISHED.is_dir() else ())]
TO_APPLY = 600.0
TO_SEE = 120.0
"""Seconds, of a busy machine, until a check that everything was done for gives up."""

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """Row -> what was wrong with it; all are looked at, at once. "": what went wrong before."""
    if not request.config.getoption("--soak"):
        pytest.skip("minutes of a whole machine: runs with --soak (`make soak`)")
    with ExitStack() as stack:
        server = stack.enter_context(aws())
        server.reset()
        try:
            google = stack.enter_context(emulator())
        except pytest.skip.Exception:
            google = None
        yield asyncio.run(play(tmp_path_factory.mktemp("examples"), server, google))


async def play(folder: Path, server: Aws, google: Emulator | None) -> Outcomes:
    """Apply, set going, look."""
    async with machine(folder / "machine") as here, AsyncExitStack() as stack:
        here.seconds = TO_APPLY
        world = World(here, server, google, patience=TO_APPLY)
        stack.push_async_callback(world.api.aclose)
        scenes = [own.ours(world)]
        await stack.enter_async_context(own.stage(world, folder))
        if PUBLISHED.is_dir():
            await stack.enter_async_context(published_scenes.stage(world))
            scenes += [scene(world) for scene in published_scenes.SCENES]
        played = await asyncio.gather(*scenes, return_exceptions=True)
        world.patience, turns = TO_SEE, asyncio.Semaphore(8)

        async def look(row: Row) -> None:
            async with turns:
                await row.check(world)

        found = await asyncio.gather(*map(look, ROWS), return_exceptions=True)
    failed = next((one for one in played if isinstance(one, BaseException)), None)
    return {"": failed} | {row.path: one for row, one in zip(ROWS, found, strict=True)}


def test_everything_can_be_applied_and_set_going(outcomes: Outcomes) -> None:
    if (failed := outcomes[""]) is not None:
        raise failed


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_each_does_what_it_says(outcomes: Outcomes, row: Row) -> None:
    if (failed := outcomes[row.path]) is not None:
        raise failed


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs ../shared/upstream-examples")
def test_each_published_example_has_a_row() -> None:
    files = {str(path.relative_to(PUBLISHED)) for path in PUBLISHED.rglob("*.yaml")}
    assert {row.path for row in published.ROWS} == files


def test_each_of_our_examples_has_a_row() -> None:
    rows = {row.path for row in own.ROWS} | {"walkthrough"}
    for path in OURS.rglob("*.yaml"):
        place = path.relative_to(OURS)
        assert {str(place), str(place.parent)} & rows, place


def test_the_table_in_the_documentation_is_what_is_looked_at() -> None:
    assert table.FILE.read_text(encoding="utf-8") == table.text(), table.__doc__
