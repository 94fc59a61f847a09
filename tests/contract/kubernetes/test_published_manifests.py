"""The objects that upstream publishes apply, from the client and on the server, and come back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster import Cluster
from support.terminal import Terminal

PUBLISHED = Path(__file__).parents[4] / "shared/upstream-examples"
GROUP = "argoproj.io"

pytestmark = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs ../shared/upstream-examples")


def any_shape(plural: str, kind: str) -> dict[str, Any]:
    """A definition that keeps whatever it is given."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture(scope="module")
def definitions(cluster: Cluster) -> Iterator[None]:
    """Those of upstream's kinds that the cluster does not have."""
    place = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    made = []
    for plural, kind in (("eventsources", "EventSource"), ("sensors", "Sensor")):
        definition = any_shape(plural, kind)
        name = definition["metadata"]["name"]
        if cluster.get(*place, name) is None:
            cluster.create(definition)
            made.append(name)
        cluster.until_served(f"{GROUP}/v1alpha1", kind)
    yield
    for name in made:
        cluster.delete(*place, name)


def objects() -> list[dict[str, Any]]:
    """All of them, in any namespace, each with a name of its own."""
    found = []
    for path in sorted(PUBLISHED.rglob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            if one:
                found.append({**one, "metadata": {"name": f"{path.stem}-{len(found)}"}})
    return found


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("how", ["", "--server-side"])
def test_published_manifests_apply(kubectl: Terminal, cluster: Cluster, how: str) -> None:
    several = objects()
    file = kubectl.write("several.yaml", *several)
    assert len(kubectl.does(f"apply {how} -f {file}").splitlines()) == len(several)
    for one in several:
        name = one["metadata"]["name"]
        kept = cluster.get(one["apiVersion"], one["kind"], name, kubectl.namespace)
        assert kept, name
        del kept["metadata"], one["metadata"]
        assert kept == one, name
    assert set(kubectl.does(f"apply {how} -f {file}").split()) & {"configured", "created"} == set()
