"""What the API server does after a write: each rule, on objects kept in memory, with time that passes at once."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from support.api_kept_objects import Kept, definition
from support.api_running import AUTHORITY, DEFINITIONS, RBAC, SECONDS, conditions, hurried, metadata, running

from events.local.apiserver.access.refusals import forbidden_because
from events.local.apiserver.controllers.services import AddressPool
from events.local.apiserver.objects.hooks import CLEANUP

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
