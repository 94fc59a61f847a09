"""The folder `manifests`: what brings Keryx to a cluster. Made by `make manifests`. Contract: sensors G.

The kustomize bases and the single files are two forms of the same objects: a base is a folder of objects, and an
install file is what `kustomize build` makes of one. Names are Argo Events', so that applying over an installation of
it replaces its parts instead of adding others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from eventbus import configuration
from events.app import crds
from events.app.crds import definitions
from events.app.manifests import examples, roles, workloads

Object = dict[str, Any]

FOLDER = Path("manifests")
_MADE = "# Made by `make manifests` from the code; change it there.\n"
_NAMESPACED = "--namespaced"


def cluster_install() -> list[Object]:
    """Watches every namespace."""
    return [*definitions(), *_base(), *roles.of_the_controller("ClusterRole"), *roles.aggregated()]


def namespace_install() -> list[Object]:
    """Watches its own namespace only."""
    return [*definitions(), *_base(_NAMESPACED), *roles.of_the_controller("Role")]


def webhook_install() -> list[Object]:
    """The admission webhook, beside either of them."""
    return [*roles.of_the_webhook(), *workloads.webhook()]


def files() -> Iterator[tuple[str, str]]:
    """(path, text) of every file of the folder."""
    yield "install.yaml", text(cluster_install())
    yield "namespace-install.yaml", text(namespace_install())
    yield "install-validating-webhook.yaml", text(webhook_install())
    for name, (says, objects) in examples.files().items():
        yield f"rbac/{name}", text(objects, says)
    yield from _folder("crds", definitions())
    yield from _folder("base", _base(), ["../crds"])
    rights = [*roles.of_the_controller("ClusterRole"), *roles.aggregated()]
    yield from _folder("cluster-install", rights, ["../base"], namespace=roles.NAMESPACE)
    flag = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": _NAMESPACED}]
    patch = {"target": {"kind": "Deployment", "name": "controller-manager"}, "patch": yaml.safe_dump(flag)}
    yield from _folder(
        "namespace-install", roles.of_the_controller("Role"), ["../base"], namespace=roles.NAMESPACE, patches=[patch]
    )
    yield from _folder("extensions/validating-webhook", webhook_install(), namespace=roles.NAMESPACE)


def write(folder: Path) -> None:
    """Write all files below `folder`."""
    for name, content in files():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _base(*flags: str) -> list[Object]:
    return [
        roles.account(roles.CONTROLLER),
        workloads.configuration(configuration.text(configuration.shipped())),
        *workloads.controller(*flags),
    ]


def _folder(
    path: str, objects: list[Object], beside: list[str] | None = None, **more: Any
) -> Iterator[tuple[str, str]]:
    """A kustomize base: a file for each object, and what lists them."""
    names = {_file_name(one): one for one in objects}
    for name, one in names.items():
        yield f"{path}/{name}", text([one])
    listed: Mapping[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        **more,
        "resources": [*(beside or []), *sorted(names)],
    }
    yield f"{path}/kustomization.yaml", text([dict(listed)])


def _file_name(one: Object) -> str:
    kind, name = one["kind"], one["metadata"]["name"]
    if kind == "CustomResourceDefinition":
        return f"{crds.GROUP}_{name.partition('.')[0]}.yaml"
    return f"{name}-{kind.lower()}.yaml"


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no references between objects that share a part."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def text(objects: list[Object], says: str = "") -> str:
    """A file of objects; `says` is a comment at its top."""
    return _MADE + says + "---\n".join(_dumped(json.dumps(one)) for one in objects)


@lru_cache(maxsize=64)
def _dumped(text: str) -> str:
    """Definitions are long, and in several files."""
    return str(yaml.dump(json.loads(text), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True))
