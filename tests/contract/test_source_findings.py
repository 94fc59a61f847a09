"""What an event source says of its own work: which of its events fails, why, and that it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.event_sources import Kinds, Member, fake, until

from eventbus.memory import MemoryBroker
from events import findings
from events.errors import ActionError, CredentialError, KeryxError
from events.kube.permissions import Forbidden, Missing
from eventsources import service
from eventsources.base import SourceContext

NOT_ALLOWED = Forbidden("no", Missing("system:serviceaccount:ns:default", "list", "pods", "", "ns"))


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> Kinds:
    return Kinds(monkeypatch)


@pytest.fixture
async def member() -> AsyncIterator[Member]:
    made = Member(MemoryBroker())
    yield made
    await made.bus.aclose()


def told(member: Member) -> list[tuple[str, str, str]]:
    found = member.shared.findings
    assert {one.type for one in found} <= {findings.SOURCES_WORKING}
    return [(one.name, one.reason, one.message) for one in found]


async def for_ever(context: SourceContext) -> None:
    context.started()
    await asyncio.get_running_loop().create_future()


async def test_whose_findings_they_are_is_known_before_anything_is_found(kinds: Kinds, member: Member) -> None:
    kinds["fake"] = fake(for_ever)
    async with member.running(fake={"ev": {}}):
        assert member.shared.findings.wire({})["object"] == {
            "kind": "EventSource",
            "namespace": "ns",
            "name": "src",
            "uid": "",
        }
        assert told(member) == []


async def test_one_failure_is_not_told_and_the_second_is_until_the_event_has_run_for_a_while(
    kinds: Kinds, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_HEALTHY_SECONDS", 0.05)
    starts: list[int] = []

    async def third_time_lucky(context: SourceContext) -> None:
        starts.append(len(told(member)))
        if len(starts) < 3:
            raise ActionError("the queue is not there")
        await for_ever(context)

    kinds["fake"] = fake(third_time_lucky)
    async with member.running(fake={"ev": {}}):
        await until(lambda: len(starts) == 3)
        await until(lambda: told(member) == [])
    assert starts == [0, 0, 1]


async def test_a_source_that_fails_again_and_again_is_told_by_the_name_of_its_event(
    kinds: Kinds, member: Member
) -> None:
    async def fails(context: SourceContext) -> None:
        del context
        raise ActionError("sqs: connection refused")

    kinds["fake"], kinds["fine"] = fake(fails), fake(for_ever)
    async with member.running(fake={"ev": {}}, fine={"good": {}}):
        await until(lambda: told(member))
        assert told(member) == [("ev", "SourceFailing", "sqs: connection refused")]
    assert told(member) == []


@pytest.mark.parametrize(
    ("error", "reason"), [(CredentialError("Secret 's' is missing"), "CredentialsMissing"), (NOT_ALLOWED, "Forbidden")]
)
async def test_what_is_not_given_is_told_at_the_first_failure(
    kinds: Kinds, member: Member, error: KeryxError, reason: str
) -> None:
    failed = asyncio.Event()

    async def fails(context: SourceContext) -> None:
        if failed.is_set():
            await for_ever(context)
        failed.set()
        raise error

    kinds["fake"] = fake(fails)
    async with member.running(fake={"ev": {}}):
        await until(lambda: told(member))
        assert told(member) == [("ev", reason, str(error))]


async def test_an_event_that_is_not_started_is_told(kinds: Kinds, member: Member) -> None:
    kinds["bad"] = fake(for_ever, accepts=False)
    async with member.running(bad={"ev": {}}):
        ((name, reason, message),) = told(member)
        assert (name, reason) == ("ev", "NotStarted")
        assert "is wrong" in message


async def test_a_source_that_waits_by_itself_says_so_and_when_it_is_over(kinds: Kinds, member: Member) -> None:
    contexts: list[SourceContext] = []

    async def waits(context: SourceContext) -> None:
        contexts.append(context)
        await for_ever(context)

    kinds["fake"] = fake(waits)
    async with member.running(fake={"ev": {}}):
        await until(lambda: contexts)
        contexts[0].trouble(ActionError("it does not answer"))
        assert told(member) == [("ev", "SourceFailing", "it does not answer")]
        contexts[0].trouble(None)
        assert told(member) == []
