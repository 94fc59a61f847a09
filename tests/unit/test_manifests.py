"""The folder `manifests`: what the code says, names and images in one place, pods that a careful cluster admits."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from events.app import manifests
from events.app.manifests import roles, workloads

ROOT = Path(__file__).parents[2] / manifests.FOLDER
FILES = dict(manifests.files())
INSTALLS = ("install.yaml", "namespace-install.yaml", "install-validating-webhook.yaml")


@cache
def objects(name: str) -> list[dict[str, Any]]:
    return list(yaml.load_all(FILES[name], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def key(one: dict[str, Any]) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


@pytest.mark.parametrize("name", FILES)
def test_the_manifests_are_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name], "run `make manifests`"


def test_no_manifest_is_left_over() -> None:
    assert {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.yaml")} == set(FILES)


def test_names_are_those_of_argo_events() -> None:
    assert {key(one) for one in objects("install.yaml")} >= {
        ("CustomResourceDefinition", "eventbus.argoproj.io"),
        ("CustomResourceDefinition", "eventsources.argoproj.io"),
        ("CustomResourceDefinition", "sensors.argoproj.io"),
        ("ServiceAccount", "argo-events-sa"),
        ("ConfigMap", "argo-events-controller-config"),
        ("Deployment", "controller-manager"),
        ("ClusterRole", "argo-events-role"),
        ("ClusterRoleBinding", "argo-events-binding"),
        ("ClusterRole", "argo-events-aggregate-to-admin"),
        ("ClusterRole", "argo-events-aggregate-to-edit"),
        ("ClusterRole", "argo-events-aggregate-to-view"),
    }
    assert {key(one) for one in objects("namespace-install.yaml")} >= {
        ("Role", "argo-events-role"),
        ("RoleBinding", "argo-events-role-binding"),
    }
    assert {key(one) for one in objects("install-validating-webhook.yaml")} >= {
        ("ServiceAccount", "argo-events-webhook-sa"),
        ("ClusterRole", "argo-events-webhook"),
        ("ClusterRoleBinding", "argo-events-webhook-binding"),
        ("Deployment", "events-webhook"),
        ("Service", "events-webhook"),
    }


@pytest.mark.parametrize("name", INSTALLS)
def test_bindings_and_accounts_fit_together(name: str) -> None:
    found = objects(name)
    named = {key(one) for one in found}
    for one in found:
        if one["kind"].endswith("Binding"):
            assert (one["roleRef"]["kind"], one["roleRef"]["name"]) in named
            assert all(("ServiceAccount", subject["name"]) in named for subject in one["subjects"])
        if one["kind"] == "Deployment":
            assert ("ServiceAccount", one["spec"]["template"]["spec"]["serviceAccountName"]) in named


def test_a_namespaced_installation_watches_and_may_read_its_namespace_alone() -> None:
    found = objects("namespace-install.yaml")
    assert not [one for one in found if one["kind"].startswith("ClusterRole")]
    (deployment,) = (one for one in found if one["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == ["controller", "--namespaced"]


@pytest.mark.parametrize("name", INSTALLS)
def test_pods_fit_the_restricted_standard_and_say_what_they_need(name: str) -> None:
    for one in objects(name):
        if one["kind"] != "Deployment":
            continue
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["livenessProbe"]
            assert container["readinessProbe"]
            assert all(port["containerPort"] >= 1024 for port in container["ports"])


def test_one_place_names_the_image() -> None:
    images = set()
    for name in INSTALLS:
        for one in objects(name):
            if one["kind"] == "Deployment":
                (container,) = one["spec"]["template"]["spec"]["containers"]
                images.add(container["image"])
                images |= {given["value"] for given in container["env"] if given["name"] == "ARGO_EVENTS_IMAGE"}
    assert images == {workloads.IMAGE}


def test_no_role_has_wildcards_nor_reaches_into_pods() -> None:
    for name in FILES:
        for one in objects(name):
            for rule in one.get("rules") or []:
                for field in ("apiGroups", "resources", "verbs"):
                    assert "*" not in rule[field], name
                assert not any(resource.startswith("pods/") for resource in rule["resources"]), name
                assert "pods" not in rule["resources"] or set(rule["verbs"]) <= {"list", "watch"}, name


def test_the_sensor_of_the_example_account_may_create_workflows_and_nothing_else() -> None:
    (role,) = (one for one in objects("rbac/create-serviceaccount.yaml") if one["kind"] == "Role")
    assert role["rules"] == [roles.rule("argoproj.io", ["workflows"], ["create"])]
