"""What the API server does after a write: each rule, on objects kept in memory, with time that passes at once."""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import api_objects
from support.api_kept_objects import Crash, Kept, definition, owned_by, run

from events.local.apiserver import controllers
from events.local.apiserver.access.refusals import forbidden_because
from events.local.apiserver.access.tokens import Tokens
from events.local.apiserver.controllers.base import Controller, Object
from events.local.apiserver.controllers.services import AddressPool
from events.local.apiserver.objects.deleting import FOREGROUND, ORPHAN
from events.local.apiserver.objects.hooks import CLEANUP, Hooks
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.logs import Log

AUTHORITY = "-----BEGIN CERTIFICATE-----"
DEFINITIONS = ("customresourcedefinitions", "apiextensions.k8s.io")
RBAC = "rbac.authorization.k8s.io"
SECONDS = 0.5
"""More than what gathers, less than what is looked at now and then."""

Test = Callable[[Kept, Path], Coroutine[Any, Any, None]]


def hurried(test: Test) -> Callable[[Path], None]:
    @functools.wraps(test)
    def wrapped(tmp_path: Path) -> None:
        run(test(Kept(), tmp_path))

    del wrapped.__wrapped__  # type: ignore[attr-defined]  # pytest must see the path alone
    return wrapped


@asynccontextmanager
async def running(kept: Kept, path: Path) -> AsyncIterator[Hooks]:
    hooks = Hooks()
    tokens = Tokens(path, api_objects.Objects())
    started = await controllers.start(kept, AUTHORITY, tokens, Log("test"), hooks)
    await asyncio.sleep(SECONDS)
    try:
        yield hooks
    finally:
        await started.close()


def home(kept: Kept, name: str = "default") -> Object:
    found = kept.get(kept.of("namespaces"), "", name)
    assert found is not None
    return found


def conditions(it: Object | None) -> dict[str, tuple[str, str, str]]:
    assert it is not None
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in it["status"]["conditions"]}


def metadata(kept: Kept, it: Object) -> Object:
    found = kept.now(it)
    assert found is not None
    return dict(found["metadata"])


# namespaces


@hurried
async def test_the_first_namespaces_are_there_at_the_start_and_have_what_each_one_has(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        names = {it["metadata"]["name"] for it in kept.list(kept.of("namespaces"))}
        assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
        await kept.make("namespaces", "team")
        await asyncio.sleep(SECONDS)
        for name in (*names, "team"):
            assert kept.get(kept.of("serviceaccounts"), name, "default")
            authority = kept.get(kept.of("configmaps"), name, "kube-root-ca.crt")
            assert authority is not None
            assert authority["data"] == {"ca.crt": AUTHORITY}


@hurried
async def test_what_a_namespace_has_is_made_again_and_mended(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        account = kept.get(kept.of("serviceaccounts"), "default", "default")
        authority = kept.get(kept.of("configmaps"), "default", "kube-root-ca.crt")
        system = kept.get(kept.of("configmaps"), "kube-system", "kube-root-ca.crt")
        assert account
        assert authority
        assert system
        await kept.remove(account)
        await kept.remove(authority)
        await kept.change(
            kept.of("configmaps"), "kube-system", "kube-root-ca.crt", lambda it: {**it, "data": {}}, manager="test"
        )
        await asyncio.sleep(SECONDS)
        assert kept.now(account) is None
        assert kept.get(kept.of("serviceaccounts"), "default", "default")
        assert kept.get(kept.of("configmaps"), "default", "kube-root-ca.crt")
        assert (kept.now(system) or {})["data"] == {"ca.crt": AUTHORITY}


@hurried
async def test_a_namespace_ends_with_all_that_is_in_it(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        await kept.make(*DEFINITIONS[:1], group=DEFINITIONS[1], **definition("things", "Thing"))
        await asyncio.sleep(SECONDS)
        team, other = await kept.make("namespaces", "team"), await kept.make("namespaces", "other")
        inside = [
            await kept.make("secrets", "a", "team"),
            await kept.make("deployments", "a", "team", "apps"),
            await kept.make("things", "a", "team", "example.com"),
        ]
        beside = await kept.make("secrets", "a", "other")
        await kept.remove(team)
        await asyncio.sleep(SECONDS)
        assert [kept.now(it) for it in (team, *inside)] == [None] * 4
        assert kept.now(beside)
        assert kept.now(other)


@hurried
async def test_a_namespace_waits_for_finalizers_and_says_so(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        team = await kept.make("namespaces", "team")
        held = [
            await kept.make("configmaps", f"held-{number}", "team", metadata={"finalizers": ["example.com/hold"]})
            for number in range(2)
        ]
        await kept.make("deployments", "held", "team", "apps", metadata={"finalizers": ["example.com/also"]})
        await kept.remove(team)
        await asyncio.sleep(SECONDS)
        found = kept.now(team)
        assert found
        assert found["status"]["phase"] == "Terminating"
        told = conditions(found)
        remaining = "Some resources are remaining: configmaps. has 2 resource instances, "
        assert told["NamespaceContentRemaining"] == (
            "True",
            "SomeResourcesRemain",
            remaining + "deployments.apps has 1 resource instances",
        )
        holding = "example.com/also in 1 resource instances, example.com/hold in 2 resource instances"
        assert told["NamespaceFinalizersRemaining"] == (
            "True",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {holding}",
        )
        assert told["NamespaceDeletionContentFailure"][:2] == ("False", "ContentDeleted")
        assert told["NamespaceDeletionDiscoveryFailure"][:2] == ("False", "ResourcesDiscovered")
        for it in [*held, *kept.list(kept.of("deployments", "apps"))]:
            await kept.edit(it, finalizers=None)
        await asyncio.sleep(SECONDS)
        assert kept.now(team) is None


@hurried
async def test_a_namespace_that_is_held_is_not_asked_about_all_the_time(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        team = await kept.make("namespaces", "team")
        await kept.make("configmaps", "held", "team", metadata={"finalizers": ["example.com/hold"]})
        several = [
            await kept.make("secrets", f"{number}", "team", metadata={"finalizers": ["example.com/hold"]})
            for number in range(40)
        ]
        await kept.remove(team)
        for it in several:  # each one that goes is a reason to look; none is a reason to look for ever
            await kept.edit(it, finalizers=None)
            await asyncio.sleep(0.01)
        await asyncio.sleep(SECONDS)
        before = kept.asked
        await asyncio.sleep(100)
        assert kept.asked - before <= 40


@hurried
async def test_a_refused_removal_is_told_in_the_namespace_and_the_rest_goes(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        team = await kept.make("namespaces", "team")
        stuck, free = await kept.make("configmaps", "stuck", "team"), await kept.make("secrets", "free", "team")
        refusal = forbidden_because("", "configmaps", "stuck", "the webhook says no")
        kept.refuse = lambda verb, _resource, _namespace, name: refusal if (verb, name) == ("delete", "stuck") else None
        await kept.remove(team)
        await asyncio.sleep(SECONDS)
        assert kept.now(free) is None
        status, reason, message = conditions(kept.now(team))["NamespaceDeletionContentFailure"]
        assert (status, reason) == ("True", "ContentDeletionFailed")
        assert message == f"Failed to delete all resource types, 1 remaining: {refusal}"
        kept.refuse = lambda *_: None
        await asyncio.sleep(10)
        assert [kept.now(team), kept.now(stuck)] == [None, None]


# owners


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


# definitions


@hurried
async def test_a_definition_is_served_a_moment_after_its_create(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        row = {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
        version = {"name": "v1", "served": True, "storage": True, "additionalPrinterColumns": [row]}
        scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
        version |= {"subresources": {"status": {}, "scale": scale}, "schema": {"openAPIV3Schema": {"type": "object"}}}
        made = await kept.make(
            DEFINITIONS[0], group=DEFINITIONS[1], **definition("things", "Thing", versions=[version])
        )
        await asyncio.sleep(0.005)
        thing = kept.resources.find("example.com", "v1", "things")
        assert thing is not None
        assert (thing.kind, thing.counted, set(thing.subresources)) == ("Thing", ("*",), {"scale", "status"})
        assert thing.scale_paths == scale
        assert [(one.name, one.path) for one in thing.columns] == [("Size", ".spec.size")]
        told = conditions(kept.now(made))
        assert told["NamesAccepted"][:2] == ("True", "NoConflicts")
        assert told["Established"][:2] == ("True", "InitialNamesAccepted")


@hurried
async def test_definitions_that_want_the_same_names_wait_in_peace(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        made = [
            await kept.make(DEFINITIONS[0], group=DEFINITIONS[1], **definition(plural, "Thing"))
            for plural in ("ones", "twos", "threes")
        ]
        await asyncio.sleep(SECONDS)
        established = [conditions(kept.now(it))["Established"][0] for it in made]
        assert established == ["True", "False", "False"]
        before = kept.asked
        await asyncio.sleep(100)
        assert kept.asked == before
        await kept.remove(made[0])
        await asyncio.sleep(SECONDS)
        established = [conditions(kept.now(it))["Established"][0] for it in made[1:]]
        assert sorted(established) == ["False", "True"]


@hurried
async def test_a_name_that_a_definition_gives_up_goes_to_who_waits_for_it(kept: Kept, path: Path) -> None:
    async with running(kept, path):

        def short(plural: str, kind: str) -> dict[str, Any]:
            it = definition(plural, kind)
            it["spec"]["names"] = {**it["spec"]["names"], "shortNames": ["x"]}
            return it

        first, second = [
            await kept.make(DEFINITIONS[0], group=DEFINITIONS[1], **short(*names))
            for names in (("ones", "One"), ("twos", "Two"))
        ]
        await asyncio.sleep(SECONDS)
        assert conditions(kept.now(second))["NamesAccepted"][:2] == ("False", "ShortNamesConflict")
        await kept.change(
            kept.of(*DEFINITIONS),
            "",
            "ones.example.com",
            lambda it: {**it, "spec": definition("ones", "One")["spec"]},
            manager="test",
        )
        await asyncio.sleep(SECONDS)
        assert conditions(kept.now(first))["NamesAccepted"][0] == "True"
        assert conditions(kept.now(second))["NamesAccepted"][0] == "True"


@hurried
async def test_a_definition_goes_after_its_objects(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        made = await kept.make(DEFINITIONS[0], group=DEFINITIONS[1], **definition("things", "Thing"))
        await asyncio.sleep(SECONDS)
        free = await kept.make("things", "free", "default", "example.com")
        held = await kept.make(
            "things", "held", "kube-system", "example.com", metadata={"finalizers": ["example.com/hold"]}
        )
        await kept.remove(made)
        await asyncio.sleep(SECONDS)
        assert kept.now(free) is None
        assert metadata(kept, made)["finalizers"] == [CLEANUP]
        assert conditions(kept.now(made))["Terminating"][:2] == ("True", "InstanceDeletionInProgress")
        await kept.edit(held, finalizers=None)
        await asyncio.sleep(SECONDS)
        assert kept.now(made) is None
        assert kept.resources.find("example.com", "v1", "things") is None


@hurried
async def test_one_object_that_may_not_go_does_not_keep_the_others(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        made = await kept.make(DEFINITIONS[0], group=DEFINITIONS[1], **definition("things", "Thing"))
        await asyncio.sleep(SECONDS)
        stuck = await kept.make("things", "stuck", "default", "example.com")
        free = await kept.make("things", "free", "default", "example.com")
        refusal = forbidden_because("example.com", "things", "stuck", "the webhook says no")
        kept.refuse = lambda verb, _resource, _namespace, name: refusal if (verb, name) == ("delete", "stuck") else None
        await kept.remove(made)
        await asyncio.sleep(SECONDS)
        assert kept.now(free) is None
        assert kept.now(stuck)
        kept.refuse = lambda *_: None
        await asyncio.sleep(60)
        assert kept.now(made) is None


# roles, tokens in secrets, addresses


@hurried
async def test_bootstrap_roles_are_there_and_roles_gather(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        roles = kept.of("clusterroles", RBAC)
        admin = kept.get(roles, "", "admin")
        assert kept.get(roles, "", "cluster-admin")
        assert admin is not None
        assert len(admin["rules"]) > 5
        rule = {"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}
        label = {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}
        added = await kept.make("clusterroles", "things", group=RBAC, metadata=label, rules=[rule])
        await asyncio.sleep(SECONDS)
        names = ("view", "edit", "admin")  # each one gathers the one before it
        assert all(rule in (kept.get(roles, "", name) or {})["rules"] for name in names)
        await kept.remove(added)
        await asyncio.sleep(SECONDS)
        assert not any(rule in (kept.get(roles, "", name) or {})["rules"] for name in names)


@hurried
async def test_a_lost_bootstrap_role_is_back_after_a_start(kept: Kept, path: Path) -> None:
    roles = kept.of("clusterroles", RBAC)
    async with running(kept, path):
        lost = kept.get(roles, "", "cluster-admin")
        assert lost is not None
        await kept.remove(lost)
    again = Kept(kept)
    async with running(again, path):
        assert again.get(roles, "", "cluster-admin")


@hurried
async def test_a_secret_for_an_account_gets_its_token_and_goes_with_it(kept: Kept, path: Path) -> None:
    async with running(kept, path):
        account = await kept.make("serviceaccounts", "robot", "default")
        asks = {
            "type": "kubernetes.io/service-account-token",
            "metadata": {"annotations": {"kubernetes.io/service-account.name": "robot"}},
        }
        secret = await kept.make("secrets", "robot-token", "default", **asks)
        await asyncio.sleep(SECONDS)
        found = kept.now(secret)
        assert found is not None
        assert base64.b64decode(found["data"]["ca.crt"]).decode() == AUTHORITY
        assert base64.b64decode(found["data"]["token"]).count(b".") == 2
        assert found["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
        await kept.remove(account)
        await asyncio.sleep(SECONDS)
        assert kept.now(secret) is None


def test_each_service_has_an_address_of_its_own() -> None:
    pool = AddressPool("10.96.0.0/27")
    pool.restore([{"spec": {"clusterIP": "10.96.0.11"}}, {"spec": {"clusterIP": "None"}}, {"spec": {}}, {}])
    first = pool.take({"spec": {}})
    assert first != "10.96.0.11"
    assert pool.take({"spec": {"clusterIP": "10.96.0.13"}}) == "10.96.0.13"
    pool.give_back(first)
    rest = [pool.take({}) for _ in range(19)]
    assert len(set(rest)) == 19
    assert first in rest[-2:]  # not again at once
    assert not {"10.96.0.11", "10.96.0.13"} & set(rest)
    with pytest.raises(LookupError, match=r"no address is left in 10\.96\.0\.0/27"):
        pool.take({})


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
