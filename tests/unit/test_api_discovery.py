"""Discovery of the local API server: the recorded answers of a real one, and the aggregated form in its shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conformance.core import Case, read

from events.local.apiserver import discovery, kinds
from events.local.apiserver.resources import CUSTOM_VERBS, Resource, Resources
from events.local.apiserver.validation import Kinds

CASES = Path(__file__).parents[1] / "conformance" / "cases" / "kubernetes" / "http.discovery.jsonl.gz"
KINDS = Kinds()
ADDRESS = "127.0.0.1:6443"
PLAIN = "application/json"


def aggregated(version: str, media: str = PLAIN) -> str:
    return f"{media};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def served() -> Resources:
    return Resources(kinds.builtin(KINDS))


def custom(definition: dict[str, Any]) -> list[Resource]:
    """The resources of a definition whose names are accepted as they are."""
    spec = definition["spec"]
    names = spec["names"]
    return [
        Resource(
            kinds=KINDS,
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names["singular"],
            list_kind=f"{names['kind']}List",
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            verbs=CUSTOM_VERBS,
            subresources=tuple(sorted(version.get("subresources", ()))),
            storage=f"{spec['group']}/{names['plural']}",
            stored_version=next(one["name"] for one in spec["versions"] if one["storage"]),
            definition=definition,
        )
        for version in spec["versions"]
    ]


def definition(
    group: str = "example.com", versions: tuple[str, ...] = ("v1",), plural: str = "widgets", **metadata: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{plural}.{group}", **metadata},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": plural, "singular": plural[:-1], "kind": plural[:-1].title()},
            "versions": [
                {"name": one, "storage": one == versions[0], "subresources": {"status": {}, "scale": {}}}
                for one in versions
            ],
        },
    }


def with_definitions(*definitions: dict[str, Any]) -> Resources:
    resources = served()
    for one in definitions:
        resources.define(one["metadata"]["name"], custom(one))
    return resources


# -- legacy


def answer(resources: Resources, path: str) -> Any:
    match path.strip("/").split("/"):
        case ["api"]:
            return discovery.api_versions(ADDRESS)
        case ["apis"]:
            return discovery.groups(resources, ADDRESS)
        case ["api", version]:
            return discovery.resource_list(resources, "", version)
        case ["apis", group]:
            return discovery.group(resources, group)
        case ["apis", group, version]:
            return discovery.resource_list(resources, group, version)
    raise AssertionError(path)


def part(it: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    """What of an answer was recorded."""
    if pointers := step.get("pick"):
        return {pointer: it[pointer[1:]] for pointer in pointers}
    if only := step.get("only"):
        name, key = only["list"][1:], only["key"][1:]
        return {**it, name: [one for one in it[name] if one[key] in only["values"]]}
    return it


def masked(it: Any) -> Any:
    """Hashes are opaque, and every server has its own address."""
    if isinstance(it, list):
        return [masked(one) for one in it]
    if not isinstance(it, dict):
        return it
    hidden = {"storageVersionHash": "<hash>", "serverAddress": "<server>"}
    return {key: hidden.get(key, masked(value)) for key, value in it.items()}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in read(CASES)])
def test_groups_and_their_resources_are_listed_as_recorded(case: Case) -> None:
    resources = with_definitions(*case.input.get("crds", ()))
    for step, expected in zip(case.input["steps"], case.expect["steps"], strict=True):
        assert masked(part(answer(resources, step["path"]), step)) == masked(expected["body"]), step["path"]


def test_subresources_say_what_they_read_and_what_can_be_done_with_them() -> None:
    listed = discovery.resource_list(served(), "", "v1")
    assert listed is not None
    rows = {row["name"]: row for row in listed["resources"]}
    assert rows["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": ["create"],
    }
    shown = {name: (row["kind"], " ".join(row["verbs"])) for name, row in rows.items() if "/" in name}
    assert shown["pods/binding"] == ("Binding", "create")
    assert shown["pods/exec"] == ("PodExecOptions", "create get")
    assert shown["pods/log"] == ("Pod", "get")
    assert shown["pods/ephemeralcontainers"] == ("Pod", "get patch update")
    assert {shown[f"{one}/proxy"] for one in ("nodes", "pods", "services")} == {
        (f"{kind}ProxyOptions", "create delete get patch update") for kind in ("Node", "Pod", "Service")
    }
    assert [name for name in rows if name.startswith("pods")] == sorted(
        name for name in rows if name.startswith("pods")
    )


def test_what_is_only_asked_is_not_stored_and_has_no_hash() -> None:
    listed = discovery.resource_list(served(), "authorization.k8s.io", "v1")
    assert listed is not None
    assert all(row["verbs"] == ["create"] and "storageVersionHash" not in row for row in listed["resources"])


@pytest.mark.parametrize(("group", "version"), [("", "v2"), ("apps", "v2"), ("nobody.example.com", "v1")])
def test_versions_that_are_not_served_have_no_list(group: str, version: str) -> None:
    assert discovery.resource_list(served(), group, version) is None


@pytest.mark.parametrize("name", ["", "nobody.example.com"])
def test_the_core_and_unknown_groups_have_no_group_document(name: str) -> None:
    assert discovery.group(served(), name) is None


def test_versions_of_custom_groups_come_in_the_order_of_preference() -> None:
    resources = with_definitions(definition(versions=("v1alpha1", "v2beta1", "v1", "v2")))
    found = discovery.group(resources, "example.com")
    assert found is not None
    assert [one["version"] for one in found["versions"]] == ["v2", "v1", "v2beta1", "v1alpha1"]
    assert found["preferredVersion"] == {"groupVersion": "example.com/v2", "version": "v2"}


def test_custom_groups_come_last_by_name_in_whatever_order_they_were_defined() -> None:
    resources = with_definitions(*(definition(group=group) for group in ("z.example.com", "a.example.com")))
    listed = [one["name"] for one in discovery.groups(resources, ADDRESS)["groups"]]
    assert listed[-2:] == ["a.example.com", "z.example.com"]
    every = discovery.aggregated(resources, core=False, version="v2")["items"]
    assert [one["metadata"]["name"] for one in every] == listed


def test_a_definition_that_is_being_deleted_offers_no_more_writes() -> None:
    resources = with_definitions(definition(deletionTimestamp="2021-01-01T00:00:00Z"))
    listed = discovery.resource_list(resources, "example.com", "v1")
    assert listed is not None
    assert listed["resources"][0]["verbs"] == ["delete", "deletecollection", "get", "list", "watch"]
    (row,) = discovery.aggregated(resources, core=False, version="v2")["items"][-1]["versions"][0]["resources"]
    assert row["verbs"] == ["delete", "deletecollection", "get", "list", "watch"]


# -- aggregated


def rows_of(resources: Resources, group: str, version: str = "v2") -> dict[str, Any]:
    every = discovery.aggregated(resources, core=not group, version=version)["items"]
    (item,) = [one for one in every if one["metadata"] == ({"name": group} if group else {})]
    return {row["resource"]: row for row in item["versions"][0]["resources"]}


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_the_aggregated_core_is_one_item_without_a_name(version: str) -> None:
    it = discovery.aggregated(served(), core=True, version=version)
    (item,) = it.pop("items")
    assert it == {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
    }
    assert item["metadata"] == {}
    assert [(one["version"], one["freshness"]) for one in item["versions"]] == [("v1", "Current")]


def test_built_in_kinds_leave_out_the_group_they_stand_in() -> None:
    assert rows_of(served(), "apps")["deployments"] == {
        "resource": "deployments",
        "responseKind": {"group": "", "version": "", "kind": "Deployment"},
        "scope": "Namespaced",
        "singularResource": "deployment",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["deploy"],
        "categories": ["all"],
        "subresources": [
            {
                "subresource": "scale",
                "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                "verbs": ["get", "patch", "update"],
            },
            {
                "subresource": "status",
                "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                "verbs": ["get", "patch", "update"],
            },
        ],
    }
    shown = {one["subresource"]: one["responseKind"] for one in rows_of(served(), "")["pods"]["subresources"]}
    assert shown["eviction"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert shown["attach"] == {"group": "", "version": "", "kind": "PodAttachOptions"}


def test_custom_kinds_say_their_group_and_their_status_first() -> None:
    row = rows_of(with_definitions(definition()), "example.com")["widgets"]
    own = {"group": "example.com", "version": "v1", "kind": "Widget"}
    assert (row["scope"], row["responseKind"], row["verbs"]) == ("Cluster", own, list(CUSTOM_VERBS))
    assert [(one["subresource"], one["responseKind"]) for one in row["subresources"]] == [
        ("status", own),
        ("scale", {"group": "autoscaling", "version": "v1", "kind": "Scale"}),
    ]
    assert "shortNames" not in row
    assert "categories" not in row


def test_both_forms_tell_the_same_resources() -> None:
    resources = with_definitions(definition(versions=("v1", "v1beta1")), definition(plural="gears"))
    for core in (True, False):
        for item in discovery.aggregated(resources, core=core, version="v2")["items"]:
            group = item["metadata"].get("name", "")
            for version in item["versions"]:
                listed = discovery.resource_list(resources, group, version["version"])
                assert listed is not None
                legacy = {row["name"]: row["verbs"] for row in listed["resources"]}
                found = {row["resource"]: row["verbs"] for row in version["resources"]}
                for row in version["resources"]:
                    for sub in row.get("subresources", ()):
                        found[f"{row['resource']}/{sub['subresource']}"] = sub["verbs"]
                assert found == legacy


def test_the_etag_changes_with_what_is_served_and_only_then() -> None:
    resources = with_definitions(definition())

    def tag() -> str:
        return discovery.etag(discovery.aggregated(resources, core=False, version="v2"))

    before = tag()
    assert tag() == before
    resources.define("gears.example.com", custom(definition(plural="gears")))
    assert tag() != before
    resources.forget("gears.example.com")
    assert tag() == before


# -- negotiation


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "legacy"),
        (PLAIN, "legacy"),
        ("*/*", "legacy"),
        (f"{aggregated('v2beta1')},{PLAIN}", "v2beta1"),  # kubectl 1.27
        (f"{aggregated('v2')},{aggregated('v2beta1')},{PLAIN}", "v2"),  # kubectl 1.33
        (f" {aggregated('v2').replace(';', ' ; ')} , {PLAIN} ", "v2"),
        (f"{PLAIN},{aggregated('v2')}", "v2"),
        (aggregated("v2", "*/*"), "v2"),
        (f"{aggregated('v2')};q=0.5,{aggregated('v2beta1')}", "v2beta1"),
        (f"{aggregated('v2')};q=much,{aggregated('v2beta1')}", "v2"),
        (f"{aggregated('v3')},{aggregated('v2beta1')},{PLAIN}", "v2beta1"),
        (f"{aggregated('v3')},{PLAIN}", "legacy"),
        (f"{aggregated('v2', 'application/vnd.kubernetes.protobuf')},{PLAIN}", "legacy"),
        ("application/json;g=meta.k8s.io;v=v1;as=Table,application/json", "legacy"),
        ("application/json;as=APIGroupDiscoveryList;v=v2", "legacy"),
        (";;,=;,q", "legacy"),
    ],
)
def test_the_form_is_the_aggregated_one_that_is_wanted_most(accept: str, form: str) -> None:
    assert discovery.negotiate(accept) == form


@pytest.mark.parametrize("form", ["v2", "v2beta1"])
def test_the_content_type_is_what_was_asked_for(form: str) -> None:
    assert discovery.content_type(form) == aggregated(form)
    assert discovery.negotiate(discovery.content_type(form)) == form


def test_the_version_is_of_the_release_that_is_imitated() -> None:
    release, _, build = discovery.VERSION["gitVersion"].partition("+")
    assert release == f"v{discovery.VERSION['major']}.{discovery.VERSION['minor']}.0"
    assert build.startswith("keryx-")
    assert all(isinstance(value, str) for value in discovery.VERSION.values())
