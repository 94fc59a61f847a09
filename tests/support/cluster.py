"""A Kubernetes API of any make, as its administrator sees it; and objects to fill it with."""

from __future__ import annotations

import time
from functools import cached_property
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient, ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

Object = dict[str, Any]


class Cluster:
    """What a kubeconfig points to. `is_ours`: no kubelet and no controllers of workloads run on it."""

    def __init__(self, kubeconfig: str, *, is_ours: bool) -> None:
        self.kubeconfig, self.is_ours = kubeconfig, is_ours

    @cached_property
    def api(self) -> ApiClient:
        return config.new_client_from_config(config_file=self.kubeconfig)

    @cached_property
    def dynamic(self) -> DynamicClient:
        return DynamicClient(self.api)

    def create(self, value: Object) -> Object:
        resource = self.dynamic.resources.get(api_version=value["apiVersion"], kind=value["kind"])
        made: Object = resource.create(body=value, namespace=value["metadata"].get("namespace")).to_dict()
        return made

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """None when it is not there."""
        resource = self.dynamic.resources.get(api_version=api_version, kind=kind)
        try:
            found: Object = resource.get(name=name, namespace=namespace).to_dict()
        except NotFoundError:
            return None
        return found

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        """Also when it is gone already."""
        resource = self.dynamic.resources.get(api_version=api_version, kind=kind)
        try:
            resource.delete(name=name, namespace=namespace)
        except NotFoundError:
            return

    def until_there(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object:
        deadline = time.monotonic() + 30
        while (found := self.get(api_version, kind, name, namespace)) is None:
            assert time.monotonic() < deadline, f"{kind} {name} does not appear"
            time.sleep(0.02)
        return found

    def until_gone(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        deadline = time.monotonic() + 60
        while self.get(api_version, kind, name, namespace) is not None:
            assert time.monotonic() < deadline, f"{kind} {name} does not go"
            time.sleep(0.02)

    def until_served(self, api_version: str, kind: str) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                self.dynamic.resources.get(api_version=api_version, kind=kind).get()
            except (ResourceNotFoundError, ApiException):
                assert time.monotonic() < deadline, f"{api_version} {kind} is not served"
                time.sleep(0.05)
                self.dynamic.resources.invalidate_cache()
            else:
                return


# -- objects


def config_map(name: str = "settings", data: dict[str, str] | None = None, **labels: str) -> Object:
    metadata: Object = {"name": name} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"k": "v"}}


def deployment(name: str = "web", image: str = "registry.invalid/web:1", replicas: int = 2) -> Object:
    """An image that no cluster can pull: nothing of it runs anywhere."""
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def widget(group: str, name: str = "one", **spec: Any) -> Object:
    return {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec or {"size": 1}}


def definition(group: str) -> Object:
    """A definition with what definitions may have: two versions, columns, status, scale, a rule, free-form fields."""
    spec = {
        "type": "object",
        "description": "What the widget is to be.",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 0, "maximum": 100, "description": "How large it is."},
            "colour": {"type": "string", "default": "blue", "enum": ["blue", "red"]},
            "selector": {"type": "string"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "parts": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "weight": {"type": "integer"}},
                },
            },
        },
        "x-kubernetes-validations": [
            {"rule": "!(self.colour == 'red' && self.size > 50)", "message": "a red one is at most 50"}
        ],
    }
    conditions = {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    status = {"type": "object", "properties": {"ready": {"type": "integer"}, "conditions": conditions}}
    schema = {
        "openAPIV3Schema": {
            "type": "object",
            "description": "A widget.",
            "properties": {"spec": spec, "status": status},
        }
    }
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.ready"}
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Colour", "type": "string", "jsonPath": ".spec.colour", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    version = {
        "served": True,
        "schema": schema,
        "subresources": {"status": {}, "scale": scale},
        "additionalPrinterColumns": columns,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wg"]},
            "versions": [{"name": "v1", "storage": True, **version}, {"name": "v1beta1", "storage": False, **version}],
        },
    }
