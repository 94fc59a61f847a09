"""To ask as another, and to ask what one may do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.api_objects import RBAC, binding, role

from events.local.apiserver.access import impersonation, reviews
from events.local.apiserver.access.identity import AUTHENTICATED, MASTERS, Attributes, User
from events.local.apiserver.access.rbac.index import Index
from events.local.apiserver.status import StatusError

SECONDS = datetime(2024, 5, 1, 12, 0, tzinfo=UTC).timestamp()
ANN = User("ann", groups=("staff", AUTHENTICATED))
ROOT = User("root", groups=(MASTERS, AUTHENTICATED))
LIST = Attributes("list", "", "v1", "configmaps", "", "n")


def index(*rules: tuple[str, str, str]) -> Index:
    found = Index()
    found.changed(None, role("r", "", *rules))
    found.changed(None, binding("b", "", "ClusterRole/r", "User/ann"))
    return found


def as_user(found: Index, requestor: User, *headers: tuple[str, str]) -> User:
    user = impersonation.wanted(headers)
    assert user is not None
    return impersonation.impersonate(found, requestor, user, LIST)


def test_who_may_impersonate_is_the_other_with_his_groups() -> None:
    bob = as_user(index(), ROOT, ("Impersonate-User", "system:serviceaccount:n:bob"))
    assert bob.groups == ("system:serviceaccounts", "system:serviceaccounts:n", AUTHENTICATED)
    headers = (("Impersonate-User", "eve"), ("Impersonate-Group", "g"), ("Impersonate-Extra-acme.io%2Fx", "y"))
    eve = as_user(index(("impersonate", " authentication.k8s.io", "users groups userextras/acme.io/x")), ANN, *headers)
    assert eve == User("eve", groups=("g", AUTHENTICATED), extra={"acme.io/x": ("y",)})
    assert impersonation.wanted([("Accept", "x")]) is None


def test_a_refused_impersonation_says_what_is_missing() -> None:
    with pytest.raises(StatusError) as refused:
        as_user(index(), ANN, ("Impersonate-User", "eve"))
    says = 'User "ann" cannot impersonate-on:user-info:list resource "configmaps" in API group "" in the namespace "n"'
    assert refused.value.message == f"configmaps is forbidden: {says}"
    with pytest.raises(StatusError, match="impersonate-on:serviceaccount:list"):
        as_user(index(), ANN, ("Impersonate-User", "system:serviceaccount:n:bob"))


def test_constrained_impersonation_is_for_one_action_and_never_for_masters() -> None:
    found = index(
        ("impersonate-on:user-info:list", "", "configmaps"),
        ("impersonate:user-info", "authentication.k8s.io", "users groups"),
    )
    assert as_user(found, ANN, ("Impersonate-User", "eve")).name == "eve"
    eve = impersonation.wanted([("Impersonate-User", "eve")])
    assert eve is not None
    with pytest.raises(StatusError):
        impersonation.impersonate(found, ANN, eve, Attributes("get", "", "v1", "configmaps", "", "n", "x"))
    with pytest.raises(StatusError, match="impersonating the system:masters group is not allowed"):
        as_user(found, ANN, ("Impersonate-User", "eve"), ("Impersonate-Group", MASTERS))


def test_groups_without_a_user_make_no_sense() -> None:
    with pytest.raises(StatusError, match="without impersonating a user name") as refused:
        impersonation.wanted([("Impersonate-Group", "g")])
    assert refused.value.code == 400


def review(resource: str, it: dict[str, Any], user: User = ANN, namespace: str = "") -> dict[str, Any]:
    group = "authentication.k8s.io" if resource == "selfsubjectreviews" else "authorization.k8s.io"
    rules = (("get", "", "configmaps"), ("get", RBAC, "roles"))
    return reviews.REVIEWS[group, resource](it, index(*rules), user, namespace, SECONDS)


def test_reviews_answer() -> None:
    about = {"namespace": "n", "verb": "get", "resource": "configmaps"}
    mine = review("selfsubjectaccessreviews", {"spec": {"resourceAttributes": about}})
    assert mine["status"]["allowed"] is True
    assert mine["status"]["reason"].startswith("RBAC: allowed by ClusterRoleBinding")
    other = {"spec": {"user": "eve", "resourceAttributes": about}}
    assert review("subjectaccessreviews", other)["status"] == {"allowed": False}
    ours = {"metadata": {"namespace": "n"}, "spec": {"user": "ann", "resourceAttributes": about}}
    assert review("localsubjectaccessreviews", ours, namespace="n")["status"]["allowed"] is True
    path = {"spec": {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}}
    assert review("selfsubjectaccessreviews", path)["status"] == {"allowed": False}
    assert review("selfsubjectreviews", {})["status"] == {
        "userInfo": {"username": "ann", "groups": ["staff", AUTHENTICATED]}
    }
    listed = review("selfsubjectrulesreviews", {"spec": {"namespace": "n"}})["status"]
    assert {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]} in listed["resourceRules"]
    assert (listed["nonResourceRules"], listed["incomplete"]) == ([], False)


@pytest.mark.parametrize(
    ("resource", "it", "says"),
    [
        ("selfsubjectaccessreviews", {"spec": {}}, "spec.resourceAttributes: Invalid value: null: exactly one of"),
        (
            "subjectaccessreviews",
            {"spec": {"user": "u", "resourceAttributes": {}, "nonResourceAttributes": {"path": "/x"}}},
            'spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":""}: cannot be specified in combination',
        ),
        ("subjectaccessreviews", {"spec": {"resourceAttributes": {}}}, "at least one of user or group must be"),
        (
            "selfsubjectaccessreviews",
            {"metadata": {"name": "x"}, "spec": {"resourceAttributes": {}}},
            'metadata: Invalid value: {"name":"x"}: must be empty',
        ),
        (
            "localsubjectaccessreviews",
            {"spec": {"user": "u", "resourceAttributes": {"namespace": "other"}}},
            'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace',
        ),
        (
            "selfsubjectaccessreviews",
            {"spec": {"resourceAttributes": {"fieldSelector": {}}}},
            "requirements or rawSelector is required",
        ),
    ],
)
def test_reviews_that_ask_nothing_are_refused(resource: str, it: dict[str, Any], says: str) -> None:
    with pytest.raises(StatusError) as refused:
        review(resource, it, namespace="n" if resource.startswith("local") else "")
    assert refused.value.code == 422
    assert refused.value.message.startswith('.authorization.k8s.io "" is invalid: ')
    assert says in refused.value.message


def test_a_list_of_rules_is_for_a_namespace() -> None:
    with pytest.raises(StatusError, match="no namespace on request"):
        review("selfsubjectrulesreviews", {"spec": {}})
