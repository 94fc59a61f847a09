"""Roles: who may do what, why not, and that nobody grants what he has not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.api_objects import RBAC, Objects, binding, role, thing

from events.local.apiserver.access import refusals
from events.local.apiserver.access.identity import AUTHENTICATED, MASTERS, Attributes, User, anonymous
from events.local.apiserver.access.rbac import aggregation, bootstrap, escalation, rules
from events.local.apiserver.access.rbac.index import Index
from events.local.apiserver.access.rbac.rules import Rule
from events.local.apiserver.status import StatusError

BOB = User("system:serviceaccount:n:bob", groups=("system:serviceaccounts", "system:serviceaccounts:n", AUTHENTICATED))
ANN = User("ann", groups=("staff", AUTHENTICATED))
ADMIN = User("root", groups=(MASTERS,))


def index(*objects: dict[str, Any], with_bootstrap: bool = False) -> tuple[Index, Objects]:
    kept, found = Objects(), Index()
    for it in (*(bootstrap.objects() if with_bootstrap else ()), *objects):
        kept.put(it)
    found.follow(kept)
    return found, kept


def wanted(text: str, namespace: str = "n", name: str = "") -> Attributes:
    """`verb group/resource/subresource`, the group `core` is empty; or `verb /path`."""
    verb, _, what = text.partition(" ")
    if what.startswith("/"):
        return Attributes(verb, path=what)
    group, resource, *below = what.split("/")
    return Attributes(verb, "" if group == "core" else group, "v1", resource, "".join(below), namespace, name)


@pytest.mark.parametrize(
    ("granted", "asked", "allowed"),
    [
        (("get", "", "pods"), "get core/pods", True),
        (("get", "", "pods"), "list core/pods", False),
        (("get", "", "pods"), "get core/pods/log", False),
        (("get", "", "pods/log"), "get core/pods/log", True),
        (("get", "", "*/log"), "get core/pods/log", True),
        (("get", "", "*/log"), "get core/pods", False),
        (("*", "", "*"), "get core/pods/log", True),
        (("get", "apps", "*"), "get core/pods", False),
        (("get", "*", "deployments"), "get apps/deployments", True),
        (("get", " apps", "deployments"), "get apps/deployments", True),
    ],
)
def test_a_rule_allows_what_it_names(granted: tuple[str, str, str], asked: str, allowed: bool) -> None:
    found, _ = index(role("r", "n", granted), binding("b", "n", "Role/r", "User/ann"))
    assert found.authorize(ANN, wanted(asked)).allowed is allowed


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/x", False),
        ("/apis/*", "/apis/apps", True),
        ("/apis/*", "/apis", False),
        ("*", "/whatever", True),
    ],
)
def test_paths_match_whole_or_by_their_beginning(pattern: str, path: str, allowed: bool) -> None:
    reader = role("r", "") | {"rules": [{"verbs": ["get"], "nonResourceURLs": [pattern]}]}
    found, _ = index(reader, binding("b", "", "ClusterRole/r", "Group/staff"))
    assert found.authorize(ANN, wanted(f"get {path}")).allowed is allowed


def test_names_restrict_a_rule_to_objects() -> None:
    restricted = role("r", "n", ("get", "", "secrets"))
    restricted["rules"][0]["resourceNames"] = ["mine"]
    found, _ = index(restricted, binding("b", "n", "Role/r", "User/ann"))
    assert found.authorize(ANN, wanted("get core/secrets", name="mine")).allowed
    assert not found.authorize(ANN, wanted("get core/secrets", name="yours")).allowed
    assert not found.authorize(ANN, wanted("get core/secrets")).allowed


def test_a_binding_reaches_as_far_as_its_kind() -> None:
    found, _ = index(
        role("r", "", ("get", "", "pods")),
        binding("here", "n", "ClusterRole/r", "ServiceAccount/n/bob"),
        binding("all", "", "ClusterRole/r", "Group/staff"),
    )
    assert found.authorize(BOB, wanted("get core/pods")).allowed
    assert not found.authorize(BOB, wanted("get core/pods", "other")).allowed
    assert not found.authorize(BOB, wanted("get core/pods", "")).allowed
    assert found.authorize(ANN, wanted("get core/pods", "")).allowed
    why = 'RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "r" to Group "staff"'
    assert found.authorize(ANN, wanted("get core/pods", "other")).reason == why


def test_an_account_without_namespace_is_one_of_the_bindings_namespace() -> None:
    found, _ = index(
        role("r", "n", ("get", "", "pods")),
        binding("b", "n", "Role/r", "ServiceAccount/bob"),
        binding("c", "", "ClusterRole/r", "ServiceAccount/bob"),
    )
    assert found.authorize(BOB, wanted("get core/pods")).allowed


def test_changes_count_at_once() -> None:
    found, kept = index(role("r", "n", ("get", "", "pods")))
    ask = wanted("get core/pods")
    bound = binding("b", "n", "Role/r", "User/ann")
    assert not found.authorize(ANN, ask).allowed
    kept.put(bound)
    assert found.authorize(ANN, ask).allowed
    kept.put(role("r", "n", ("list", "", "pods")))
    assert not found.authorize(ANN, ask).allowed
    kept.put(role("r", "n", ("get", "", "pods")))
    kept.drop(bound)
    assert not found.authorize(ANN, ask).allowed


def test_a_refusal_names_roles_that_are_not_there() -> None:
    found, _ = index(binding("b", "n", "ClusterRole/gone", "User/ann"), binding("c", "n", "Role/lost", "User/ann"))
    decision = found.authorize(ANN, wanted("get core/pods"))
    lost = f'clusterrole.{RBAC} "gone" not found, role.{RBAC} "lost" not found'
    assert decision.reason == f"RBAC: [{lost}]"
    refused = refusals.forbidden(ANN, wanted("get apps/deployments", name="d"), decision.reason)
    assert refused.message == (
        'deployments.apps "d" is forbidden: User "ann" cannot get resource "deployments" in API group "apps" '
        f'in the namespace "n": RBAC: [{lost}]'
    )
    assert refused.details == {"name": "d", "group": "apps", "kind": "deployments"}


def test_masters_may_everything_and_anonymous_next_to_nothing() -> None:
    found, _ = index(with_bootstrap=True)
    assert found.authorize(ADMIN, wanted("delete core/nodes", "")).allowed
    assert found.authorize(anonymous(), wanted("get /healthz")).allowed
    assert found.authorize(anonymous(), wanted("get /version")).allowed
    assert not found.authorize(anonymous(), wanted("get /api")).allowed
    assert refusals.forbidden(anonymous(), wanted("get /api")).message == (
        'forbidden: User "system:anonymous" cannot get path "/api"'
    )
    assert found.authorize(ANN, wanted("get /apis/apps/v1")).allowed
    assert found.authorize(ANN, wanted("create authorization.k8s.io/selfsubjectaccessreviews", "")).allowed
    assert not found.authorize(ANN, wanted("list core/pods")).allowed


def test_everyday_roles_do_what_manifests_expect_of_them() -> None:
    found, _ = index(
        binding("v", "n", "ClusterRole/view", "User/v"),
        binding("e", "n", "ClusterRole/edit", "User/e"),
        binding("a", "n", "ClusterRole/admin", "User/a"),
        with_bootstrap=True,
    )

    def may(who: str) -> list[str]:
        asked = ("list core/pods", "get core/secrets", "create apps/deployments", f"create {RBAC}/roles")
        return [one for one in asked if found.authorize(User(who), wanted(one)).allowed]

    assert may("v") == ["list core/pods"]
    assert may("e") == ["list core/pods", "get core/secrets", "create apps/deployments"]
    assert may("a") == ["list core/pods", "get core/secrets", "create apps/deployments", f"create {RBAC}/roles"]


def test_a_start_restores_what_bootstrap_objects_lost_and_leaves_the_rest() -> None:
    wanted_role = next(it for it in bootstrap.objects() if it["metadata"]["name"] == "system:basic-user")
    assert bootstrap.reconciled(None, wanted_role) is wanted_role
    assert bootstrap.reconciled(wanted_role, wanted_role) is None
    own = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    changed = {**wanted_role, "rules": [own]}
    restored = bootstrap.reconciled(changed, wanted_role)
    assert restored is not None
    assert restored["rules"] == [own, *wanted_role["rules"]]
    metadata = {**wanted_role["metadata"], "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}
    assert bootstrap.reconciled({**changed, "metadata": metadata}, wanted_role) is None


def refusal(found: Index, user: User, it: dict[str, Any], old: dict[str, Any] | None = None) -> StatusError | None:
    resource = f"{it['kind'].lower()}s"
    named = it["metadata"]["name"] if old else ""
    ask = Attributes(
        "update" if old else "create", RBAC, "v1", resource, "", it["metadata"].get("namespace", ""), named
    )
    try:
        escalation.check(found, user, ask, it, old)
    except StatusError as error:
        return error
    return None


MANAGER = (("create update", RBAC, "roles rolebindings clusterroles"), ("get", "", "configmaps"))


def test_nobody_writes_a_role_with_more_than_he_has() -> None:
    found, _ = index(role("m", "n", *MANAGER), binding("b", "n", "Role/m", "ServiceAccount/n/bob"))
    assert refusal(found, BOB, role("ok", "n", ("get", "", "configmaps"))) is None
    refused = refusal(found, BOB, role("esc", "n", ("list get", "", "secrets"), ("delete", "", "configmaps")))
    assert refused is not None
    assert refused.code == 403
    assert refused.message == (
        f'roles.{RBAC} "esc" is forbidden: user "system:serviceaccount:n:bob" (groups=["system:serviceaccounts" '
        '"system:serviceaccounts:n" "system:authenticated"]) is attempting to grant RBAC permissions not currently '
        'held:\n{APIGroups:[""], Resources:["configmaps"], Verbs:["delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["list" "get"]}'
    )
    assert refusal(found, ADMIN, role("esc", "n", ("*", "*", "*"))) is None


def test_garbage_collection_may_touch_what_it_could_not_grant() -> None:
    found, _ = index(role("m", "n", *MANAGER), binding("b", "n", "Role/m", "ServiceAccount/n/bob"))
    strong = role("strong", "n", ("*", "*", "*"))
    collected = {**strong, "metadata": {**strong["metadata"], "finalizers": ["x"], "resourceVersion": "9"}}
    assert refusal(found, BOB, collected, strong) is None
    labelled = {**strong, "metadata": {**strong["metadata"], "labels": {"a": "b"}}}
    assert refusal(found, BOB, labelled, strong) is not None


def test_the_verbs_escalate_and_bind_lift_the_check() -> None:
    grants = (*MANAGER, ("escalate", RBAC, "roles"), ("bind", RBAC, "clusterroles"))
    found, _ = index(
        role("m", "n", *grants),
        binding("b", "n", "Role/m", "User/ann"),
        role("weak", "n", *MANAGER),
        binding("c", "n", "Role/weak", "ServiceAccount/n/bob"),
        role("strong", "", ("*", "*", "*")),
    )
    strong = role("esc", "n", ("*", "*", "*"))
    bound = binding("x", "n", "ClusterRole/strong", "User/ann")
    assert refusal(found, ANN, strong) is None
    assert refusal(found, ANN, bound) is None
    assert refusal(found, BOB, bound) is not None
    missing = refusal(found, BOB, binding("x", "n", "ClusterRole/nowhere", "User/ann"))
    assert missing is not None
    assert (missing.code, missing.message) == (404, f'rolebindings.{RBAC} "nowhere" not found')


def test_who_aggregates_must_have_everything() -> None:
    found, _ = index(role("m", "", ("create", RBAC, "clusterroles")), binding("b", "", "ClusterRole/m", "User/ann"))
    gathering = role("g", "") | {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    refused = refusal(found, ANN, gathering)
    assert refused is not None
    assert refused.message.endswith("must have cluster-admin privileges to use the aggregationRule")


def test_cluster_roles_gather_by_label_in_order_without_doubles() -> None:
    gathering = role("a", "") | {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "a"}}]}}
    one = role("z", "", ("get", "", "pods"), metadata={"labels": {"to": "a"}})
    two = role("b", "", ("get", "", "pods"), ("list", "", "nodes"), metadata={"labels": {"to": "a"}})
    (name, gathered), *others = aggregation.outdated([one, gathering, two])
    assert (name, gathered, others) == ("a", two["rules"], [])
    assert list(aggregation.outdated([one, gathering | {"rules": gathered}, two])) == []


words = st.sampled_from(["a", "b", "*", "a/b", "*/b"])
made_rules = st.builds(
    Rule,
    st.lists(st.sampled_from(["get", "list", "*"]), min_size=1, max_size=2).map(tuple),
    st.lists(st.sampled_from(["", "g", "*"]), min_size=1, max_size=2).map(tuple),
    st.lists(words, min_size=1, max_size=3).map(tuple),
    st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True).map(tuple),
)


@given(st.lists(made_rules, max_size=4), made_rules, st.data())
def test_what_is_covered_gives_nothing_new(owned: list[Rule], granted: Rule, data: st.DataObject) -> None:
    if rules.missing(owned, [granted]):
        return
    resource, _, below = data.draw(st.sampled_from(["a", "b", "a/b", "c/b"])).partition("/")
    verb, group = data.draw(st.sampled_from(["get", "list"])), data.draw(st.sampled_from(["", "g"]))
    ask = Attributes(verb, group, "v1", resource, below, "n", data.draw(st.sampled_from(["", "x", "z"])))
    if granted.allows(ask):
        assert any(mine.allows(ask) for mine in owned)


def test_a_decision_looks_at_few_of_many_roles() -> None:
    found, kept = index(with_bootstrap=True)
    for number in range(500):
        kept.put(role(f"r{number}", "n", ("get list", "", f"things{number}"), ("get", "apps", "deployments")))
        kept.put(binding(f"b{number}", "n", f"Role/r{number}", f"User/u{number % 50}"))
    asked = [Attributes("get", "", "v1", f"things{number % 7}", "", "n", f"o{number}") for number in range(5_000)]
    found.authorize(User("u3"), asked[0])

    def seconds() -> float:
        started = time.process_time()
        for one in asked:
            found.authorize(User("u3"), one)
        return time.process_time() - started

    assert min(seconds() for _ in range(5)) / len(asked) < 500e-6  # looking at all of them takes milliseconds


def test_an_object_of_another_kind_changes_nothing() -> None:
    found, _ = index(thing("ConfigMap", "c", "n"))
    assert not found.authorize(ANN, wanted("get core/configmaps")).allowed
