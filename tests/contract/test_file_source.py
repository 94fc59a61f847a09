"""The file source on real folders, told by the kernel and by looking: every change once, none invented, none lost."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.event_sources import Member, Run, events, until

from eventbus.memory import MemoryBroker
from events.errors import TooLarge, Unavailable
from eventsources import folder_watch
from eventsources.service import EventRunner
from eventsources.sources.file import FileSource, FileSpec

BOTH = pytest.mark.parametrize("polling", [False, True], ids=["told", "polling"])
TOLD = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
OPERATIONS = {1: "CREATE", 2: "WRITE", 4: "REMOVE", 8: "RENAME", 16: "CHMOD"}
KINDS = list(OPERATIONS.values())


class Watching:
    """A folder with a source for each kind of operation."""

    def __init__(self, root: Path) -> None:
        self.folder, self.broker = root / "in", MemoryBroker()
        self.folder.mkdir()
        self.member = Member(self.broker)

    def spec(self, kind: str = "CREATE", **fields: Any) -> dict[str, Any]:
        where = {"directory": str(self.folder), "pathRegexp": "."}
        return {"eventType": kind, "watchPathConfig": where} | fields

    def runner(self, kind: str = "CREATE", **fields: Any) -> EventRunner:
        return EventRunner(
            FileSource(FileSpec.parse(self.spec(kind, **fields))), "file", "ev", "src", self.member.shared
        )

    @asynccontextmanager
    async def running(self, *runners: EventRunner) -> AsyncIterator[None]:
        """The events run until the end of the block."""
        tasks = [asyncio.create_task(runner.run()) for runner in runners]
        try:
            await until(lambda: self.member.number("event_service_running_total", None) == len(tasks))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    @property
    def seen(self) -> list[tuple[str, str]]:
        """Operation and base name of what is stored."""
        found = [orjson.loads(event.data or b"") for event in events(self.broker)]
        return [(OPERATIONS[one["op"]], Path(one["name"]).name) for one in found]

    async def see(self, *wanted: tuple[str, str], seconds: float = 30) -> None:
        """Returns once these are stored; a moment later there must not be more."""
        try:
            await until(lambda: set(wanted) <= set(self.seen), seconds)
        except TimeoutError:
            pytest.fail(f"{self.seen} lacks some of {wanted}")
        await asyncio.sleep(0.25)
        assert sorted(self.seen) == sorted(wanted)


@pytest.fixture
def here(tmp_path: Path) -> Watching:
    return Watching(tmp_path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_watch, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(folder_watch, "_CHECK_SECONDS", 0.1)


@BOTH
async def test_every_kind_of_change_has_its_event(here: Watching, polling: bool) -> None:
    for name in ("grows", "locked", "goes", "old"):
        (here.folder / name).write_text(name)
    async with here.running(*(here.runner(kind, polling=polling) for kind in KINDS)):
        os.mkfifo(here.folder / "comes")
        with (here.folder / "grows").open("a") as file:
            file.write("more")
        (here.folder / "locked").chmod(0o400)
        (here.folder / "goes").unlink()
        (here.folder / "old").rename(here.folder / "young")
        (here.folder / "folder").mkdir()
        await here.see(
            ("CREATE", "comes"),
            ("CREATE", "folder"),
            ("CREATE", "young"),
            ("WRITE", "grows"),
            ("CHMOD", "locked"),
            ("REMOVE", "goes"),
            ("RENAME", "old"),
        )


@BOTH
async def test_the_data_of_an_event(here: Watching, polling: bool) -> None:
    where = {"directory": f"{here.folder}/./", "path": "a b.txt"}
    runner = here.runner(polling=polling, watchPathConfig=where, metadata={"purpose": "test"})
    async with here.running(runner):
        for name in ("other", "a b.txt"):
            (here.folder / name).touch()
        await here.see(("CREATE", "a b.txt"))
    [event] = events(here.broker)
    data = orjson.loads(event.data or b"")
    name = "a b.txt" if polling else f"{here.folder}/a b.txt"
    assert (data, event.type) == ({"name": name, "op": 1, "metadata": {"purpose": "test"}}, "file")


@BOTH
async def test_names_that_are_no_text(here: Watching, polling: bool) -> None:
    async with here.running(here.runner(polling=polling)):
        (here.folder / os.fsdecode(b"\xff")).touch()
        await here.see(("CREATE", "\ufffd"))
    assert b'"metadata":null' in (events(here.broker)[0].data or b"")


@BOTH
async def test_a_restart_invents_nothing(here: Watching, polling: bool) -> None:
    (here.folder / "before").touch()
    async with here.running(here.runner(polling=polling)):
        (here.folder / "one").touch()
        await here.see(("CREATE", "one"))
    (here.folder / "between").touch()
    async with here.running(here.runner(polling=polling)):
        (here.folder / "two").touch()
        await here.see(("CREATE", "one"), ("CREATE", "two"))


@BOTH
async def test_an_interruption_within_a_process_loses_nothing(here: Watching, polling: bool) -> None:
    """As when the bus was away for longer than a lease lasts."""
    runner = here.runner(polling=polling)
    async with here.running(runner):
        (here.folder / "one").touch()
        await here.see(("CREATE", "one"))
    (here.folder / "two").touch()
    async with here.running(runner):
        (here.folder / "three").touch()
        await here.see(("CREATE", "one"), ("CREATE", "two"), ("CREATE", "three"))


@BOTH
async def test_what_another_process_has_published_is_not_published_again(
    here: Watching,
    polling: bool,
) -> None:
    runner = here.runner(polling=polling)
    async with here.running(runner):
        pass
    async with here.running(here.runner(polling=polling)):
        (here.folder / "theirs").touch()
        await here.see(("CREATE", "theirs"))
    async with here.running(runner):
        (here.folder / "ours").touch()
        await here.see(("CREATE", "theirs"), ("CREATE", "ours"))


@BOTH
async def test_a_folder_that_is_made_again_is_watched_again(
    here: Watching,
    polling: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "argo-events"):
        async with here.running(here.runner(polling=polling)):
            (here.folder / "one").touch()
            await here.see(("CREATE", "one"))
            shutil.rmtree(here.folder)
            await until(lambda: any("there is no folder" in str(vars(one)) for one in caplog.records))
            here.folder.mkdir()
            (here.folder / "two").touch()
            await here.see(("CREATE", "one"), ("CREATE", "two"), seconds=20)
            (here.folder / "three").touch()
            await here.see(("CREATE", "one"), ("CREATE", "two"), ("CREATE", "three"))
    assert sum("The event source ended" in one.message for one in caplog.records) == 1


@BOTH
async def test_another_folder_under_the_same_path(here: Watching, polling: bool) -> None:
    """As Kubernetes replaces the files of a ConfigMap: a link is put in the place of a link."""
    for name in ("v1", "v2"):
        (here.folder / name).mkdir()
    (here.folder / "v1/same").touch()
    os.link(here.folder / "v1/same", here.folder / "v2/same")
    (here.folder / "v2/fresh").touch()
    (here.folder / "now").symlink_to("v1")
    where = {"directory": str(here.folder / "now"), "pathRegexp": "."}
    async with here.running(here.runner(polling=polling, watchPathConfig=where)):
        (here.folder / "next").symlink_to("v2")
        (here.folder / "next").replace(here.folder / "now")
        await here.see(("CREATE", "fresh"))
        (here.folder / "v2/later").touch()
        await here.see(("CREATE", "fresh"), ("CREATE", "later"))


@BOTH
async def test_a_folder_that_is_not_there_yet(here: Watching, polling: bool) -> None:
    here.folder.rmdir()
    runner = here.runner(polling=polling)
    task = asyncio.create_task(runner.run())
    await until(lambda: "there is no folder" in str(here.member.readiness.reasons))
    here.folder.mkdir()
    (here.folder / "early").touch()
    await until(lambda: here.member.number("event_service_running_total", None) == 1, 60)
    (here.folder / "one").touch()
    await here.see(("CREATE", "one"))
    task.cancel()
    await asyncio.wait({task})


@BOTH
async def test_while_the_bus_is_away_changes_are_held(here: Watching, polling: bool) -> None:
    async with here.running(here.runner(polling=polling)):
        with refusing(here, Unavailable("away")):
            for number in range(50):
                (here.folder / str(number)).touch()
            await asyncio.sleep(0.3)
            assert not here.seen
        await here.see(*(("CREATE", str(number)) for number in range(50)))


@BOTH
async def test_what_the_bus_will_never_take_is_dropped_and_said(here: Watching, polling: bool) -> None:
    async with here.running(here.runner(polling=polling)):
        with refusing(here, TooLarge("no")):
            (here.folder / "one").touch()
            await until(lambda: here.member.number("events_processing_failed_total") == 1)
        (here.folder / "two").touch()
        await here.see(("CREATE", "two"))


@TOLD
async def test_more_than_the_kernel_keeps(here: Watching) -> None:
    """Its queue overflows while the bus is away; what it dropped is found by looking."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 70_000:
        pytest.skip("its queue is too long to fill in a moment")
    async with here.running(here.runner()):
        with refusing(here, Unavailable("away")):
            (here.folder / "first").touch()
            await asyncio.sleep(0.05)
            target = here.folder / "twin"
            for _ in range(limit // 2 + 100):
                os.mkfifo(target)
                target.unlink()
            (here.folder / "last").touch()
        await until(lambda: ("CREATE", "last") in here.seen, 30)
        (here.folder / "later").touch()
        await until(lambda: ("CREATE", "later") in here.seen, 30)
    for name in ("first", "last", "later"):
        assert here.seen.count(("CREATE", name)) == 1


@BOTH
async def test_a_debounced_file_is_reported_once_it_is_quiet(here: Watching, polling: bool) -> None:
    (here.folder / "old").touch()
    runners = [here.runner(kind, polling=polling, debounce="1s") for kind in ("CREATE", "WRITE")]
    async with here.running(*runners):
        began = time.monotonic()
        for number in range(20):
            for name in ("new", "old", "gone"):
                with (here.folder / name).open("a") as file:
                    file.write(str(number))
            await asyncio.sleep(0.03)
        (here.folder / "gone").unlink()
        await here.see(("CREATE", "new"), ("WRITE", "new"), ("WRITE", "old"))
        assert time.monotonic() - began > 1.5
        (here.folder / "old").write_text("again")
        await until(lambda: here.seen.count(("WRITE", "old")) == 2)


@BOTH
async def test_a_stop_publishes_what_was_waiting_for_quiet(here: Watching, polling: bool) -> None:
    async with here.running(here.runner(polling=polling, debounce="1h")):
        (here.folder / "one").touch()
        await asyncio.sleep(0.3)
        assert not here.seen
    await here.see(("CREATE", "one"))


@BOTH
async def test_a_file_written_a_thousand_times_makes_no_storm(here: Watching, polling: bool) -> None:
    (here.folder / "log").touch()
    async with here.running(here.runner("WRITE", polling=polling)):
        with refusing(here, Unavailable("away")), (here.folder / "log").open("a") as file:
            for number in range(2000):
                file.write(f"{number}\n")
                file.flush()
                if number % 100 == 0:
                    (here.folder / "log").chmod(0o600)  # the kernel joins writes that follow each other
                    await asyncio.sleep(0)
        await until(lambda: here.seen, 10)
        await asyncio.sleep(0.3)
    assert 1 <= len(here.seen) <= 45


async def test_the_whole_object_runs_under_ownership(here: Watching) -> None:
    async with here.member.running(file={"ev": here.spec()}) as run:
        assert isinstance(run, Run)
        await until(lambda: here.member.number("event_service_running_total", None) == 1)
        (here.folder / "one").touch()
        await here.see(("CREATE", "one"))


class refusing:  # reads as a statement
    """The bus refuses in this block."""

    def __init__(self, here: Watching, error: Exception) -> None:
        self._bus, self._error = here.member.bus, error

    def __enter__(self) -> None:
        async def refuse(*_: Any, **__: Any) -> Any:
            raise self._error

        self._bus.publish = refuse  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        del self._bus.publish  # type: ignore[method-assign]
