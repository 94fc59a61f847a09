"""The API server's controllers when writes fail, and when the server ends at any point of their work."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from support.api_kept_objects import Crash, Kept, definition, owned_by, run
from support.api_running import DEFINITIONS, RBAC, SECONDS, home, hurried, running

from events.local.apiserver.controllers.base import Controller
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.logs import Log

# failures


class Failing(Controller[str]):
    """Fails at `bad`, for as long as it is told to."""

    name = "failing"

    def __init__(self) -> None:
        super().__init__(Log("test"))
        self.fails = True
        self.done: list[str] = []
        self.tries: list[float] = []

    async def work(self, key: str) -> None:
        if key == "bad":
            self.tries.append(asyncio.get_running_loop().time())
            if self.fails:
                raise StatusError(500, "InternalError", "the disk is full")
        self.done.append(key)


def test_a_failure_stops_nobody_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        failing = Failing()
        failing.start()
        failing.wake("bad")
        failing.wake("good")
        await asyncio.sleep(100)
        assert failing.done == ["good"]
        pauses = [after - before for before, after in zip(failing.tries, failing.tries[1:], strict=False)]
        assert pauses[0] == pytest.approx(0.05, abs=0.01)
        assert pauses[-1] == pytest.approx(30, abs=0.1)
        assert pauses == sorted(pauses)
        failing.fails = False
        await asyncio.sleep(100)
        assert failing.done == ["good", "bad"]
        await failing.close()

    with caplog.at_level(logging.INFO):
        run(main())
    told = [record.getMessage() for record in caplog.records if "failing" in record.getMessage()]
    assert told == ["failing: failed, and will try again", "failing: works again"]


def test_a_failure_that_lasts_for_days_is_still_tried_again() -> None:
    async def main() -> None:
        failing = Failing()
        failing.start()
        failing.wake("bad")
        await asyncio.sleep(30 * 2_000)
        assert len(failing.tries) > 1_900
        failing.fails = False
        await asyncio.sleep(60)
        assert failing.done == ["bad"]
        await failing.close()

    run(main())


def test_a_key_that_fails_and_is_woken_often_waits_once() -> None:
    async def main() -> None:
        failing = Failing()
        failing.start()
        for _ in range(50):
            failing.wake("bad")
            await asyncio.sleep(0.01)
        before = len(failing.tries)
        await asyncio.sleep(300)
        assert len(failing.tries) - before <= 20
        await failing.close()

    run(main())


def test_work_that_waits_for_nothing_leaves_the_server_its_turn() -> None:
    class Busy(Controller[int]):
        last = 0

        async def work(self, key: int) -> None:
            self.last = key
            if key < 100_000:
                self.wake(key + 1)

    async def main() -> None:
        busy = Busy(Log("test"))
        busy.start()
        busy.wake(0)
        await asyncio.sleep(0.01)
        assert 0 < busy.last < 100_000
        await busy.close()

    run(main())


@hurried
async def test_the_server_starts_though_what_must_be_there_is_refused(kept: Kept, path: Path) -> None:
    refusal = StatusError(500, "InternalError", "failed calling webhook")
    kept.refuse = lambda verb, *_: refusal if verb == "create" else None
    async with running(kept, path):
        assert kept.list(kept.of("namespaces")) == []
        kept.refuse = lambda *_: None
        await asyncio.sleep(60)
        assert home(kept, "default")
        assert kept.get(kept.of("serviceaccounts"), "kube-system", "default")
        assert kept.get(kept.of("clusterroles", RBAC), "", "cluster-admin")


# ends at any point


async def _begin(kept: Kept) -> None:
    """Something to do for each controller, all at once."""
    team = await kept.make("namespaces", "team")
    await kept.make("secrets", "in-team", "team")
    await kept.make("things", "in-team", "team", "example.com")
    front = await kept.make("configmaps", "front", "default")
    child = await kept.make("configmaps", "front-child", "default", metadata=owned_by(front))
    await kept.make("configmaps", "front-grandchild", "default", metadata=owned_by(child))
    orphaning = await kept.make("configmaps", "orphaning", "default")
    back = await kept.make("configmaps", "back", "default")
    await kept.make("configmaps", "orphan", "default", metadata=owned_by(orphaning))
    await kept.make("configmaps", "back-child", "default", metadata=owned_by(back))
    await kept.make("configmaps", "shared", "default", metadata=owned_by(front, orphaning))
    circle = await kept.make("configmaps", "circle", "default")
    other = await kept.make("configmaps", "circle-other", "default", metadata=owned_by(circle))
    await kept.edit(circle, **owned_by(other))
    await kept.make("things", "anywhere", "default", "example.com")
    asks = {"annotations": {"kubernetes.io/service-account.name": "default"}}
    await kept.make("secrets", "token", "default", type="kubernetes.io/service-account-token", metadata=asks)
    await kept.make(DEFINITIONS[0], group=DEFINITIONS[1], **definition("others", "Other"))
    await kept.remove(team)
    await kept.remove(front, "Foreground")
    await kept.remove(orphaning, "Orphan")
    await kept.remove(back)
    await kept.remove(circle, "Foreground")
    things = kept.get(kept.of(*DEFINITIONS), "", "things.example.com")
    assert things is not None
    await kept.remove(things)


def _names_in(kept: Kept, resource: Resource, namespace: str) -> set[str]:
    return {it["metadata"]["name"] for it in kept.list(resource, namespace)}


def _check_end(kept: Kept) -> None:
    assert _names_in(kept, kept.of("namespaces"), "") == {"default", "kube-node-lease", "kube-public", "kube-system"}
    assert _names_in(kept, kept.of("configmaps"), "default") == {"kube-root-ca.crt", "orphan", "shared"}
    for name in ("orphan", "shared"):
        assert "ownerReferences" not in (kept.get(kept.of("configmaps"), "default", name) or {})["metadata"]
    assert _names_in(kept, kept.of(*DEFINITIONS), "") == {"others.example.com"}
    assert kept.resources.find("example.com", "v1", "others")
    assert kept.resources.find("example.com", "v1", "things") is None
    assert (kept.get(kept.of("secrets"), "default", "token") or {})["data"]["token"]
    assert kept.get(kept.of("secrets"), "team", "in-team") is None


def test_a_server_that_dies_after_any_write_finishes_its_work_at_the_next_start(tmp_path: Path) -> None:
    async def prepared() -> Kept:
        kept = Kept()
        async with running(kept, tmp_path):
            await kept.make(DEFINITIONS[0], group=DEFINITIONS[1], **definition("things", "Thing"))
            await asyncio.sleep(SECONDS)
        return kept

    async def begun(first: Kept) -> Kept:
        """What clients wrote while no controller had time for it."""
        kept = Kept(first)
        kept.resources = first.resources
        await _begin(kept)
        return kept

    async def main() -> None:
        kept = await begun(await prepared())
        whole = Kept(kept)
        async with running(whole, tmp_path):
            await asyncio.sleep(10)
            _check_end(whole)
        assert whole.written > 20
        for writes in range(whole.written):
            dying = Kept(kept)
            dying.writes_left = writes
            try:
                async with running(dying, tmp_path):
                    await asyncio.sleep(10)
            except Crash:
                pass
            assert dying.writes_left == 0
            again = Kept(dying)
            async with running(again, tmp_path):
                await asyncio.sleep(10)
                _check_end(again)

    run(main())
