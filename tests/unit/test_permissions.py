"""What a refusal for want of a permission says, and how it is given."""

from __future__ import annotations

from typing import Any

import pytest

from events.kube import permissions
from events.kube.api import KubeError
from events.kube.memory import MemoryKube
from events.kube.permissions import Forbidden, Missing

ACCOUNT = "system:serviceaccount:argo-events:default"
REFUSED = (
    f'workflows.argoproj.io is forbidden: User "{ACCOUNT}" cannot create resource "workflows" in API group '
    '"argoproj.io" in the namespace "argo-events"'
)


def test_account_verb_resource_group_and_namespace_are_read_from_a_refusal() -> None:
    assert permissions.missing(REFUSED) == Missing(ACCOUNT, "create", "workflows", "argoproj.io", "argo-events")


@pytest.mark.parametrize(
    "message",
    [
        'pods "x" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1',
        'admission webhook "w" denied the request: no',
        'workflows.argoproj.io "x" is forbidden: unable to create new content in namespace n: it is being terminated',
        'forbidden: User "jane" cannot get path "/metrics"',
    ],
)
def test_other_refusals_are_no_missing_permission(message: str) -> None:
    error = permissions.refusal(403, "Forbidden", message)
    assert type(error) is KubeError
    assert message in str(error)


def test_another_status_with_such_words_is_no_missing_permission() -> None:
    assert type(permissions.refusal(500, "InternalError", REFUSED)) is KubeError


def test_the_error_says_what_is_missing_its_cure_and_the_servers_words() -> None:
    error = permissions.refusal(403, "Forbidden", REFUSED)
    assert isinstance(error, Forbidden)
    assert str(error) == (
        "ServiceAccount 'default' of namespace 'argo-events' may not create workflows of API group 'argoproj.io' "
        "in namespace 'argo-events'; cure: kubectl create role default-create-workflows --verb=create "
        "--resource=workflows.argoproj.io -n argo-events && kubectl create rolebinding default-create-workflows "
        "--role=default-create-workflows --serviceaccount=argo-events:default -n argo-events "
        f"(403 Forbidden: {REFUSED})"
    )


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope',
            ("kubectl create clusterrole jane-list-nodes --verb=list --resource=nodes && ", "--user=jane"),
        ),
        (
            'deployments.apps "d" is forbidden: User "system:serviceaccount:a:b" cannot patch resource '
            '"deployments/scale" in API group "apps" in the namespace "c": RBAC: role not found',
            ("role b-patch-deployments-scale ", "--resource=deployments.apps/scale -n c", "--serviceaccount=a:b -n c"),
        ),
        (
            'User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "a"',
            ("look at the token of the ServiceAccount",),
        ),
    ],
)
def test_the_cure_fits_users_clusters_and_parts_of_resources(message: str, words: tuple[str, ...]) -> None:
    found = permissions.missing(message)
    assert found is not None
    assert all(text in found.cure for text in words), found.cure


class Reviewing(MemoryKube):
    """Answers reviews."""

    allowed = False

    async def create(self, obj: Any, *, namespace: str | None = None) -> Any:
        del namespace
        self.asked = obj["spec"]["resourceAttributes"]
        return obj | {"status": {"allowed": self.allowed}}


async def test_whether_a_permission_has_come_is_asked_of_the_server() -> None:
    kube = Reviewing()
    wanted = Missing(ACCOUNT, "get", "pods/log", "", "here")
    assert not await permissions.is_granted(kube, wanted)
    kube.allowed = True
    assert await permissions.is_granted(kube, wanted)
    assert kube.asked == {"namespace": "here", "verb": "get", "group": "", "resource": "pods", "subresource": "log"}
