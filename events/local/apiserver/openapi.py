"""Documents of what is served (stand-in until they are made)."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.resources import Resources

V2_PROTOBUF = b"\n\x032.0\x12\x16\n\nKubernetes\x12\x08v1.36.0\x00"
V2_CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_JSON = b'{"swagger":"2.0","info":{"title":"Kubernetes","version":"v1.36.0"},"paths":{}}'


def index(resources: Resources) -> dict[str, Any]:
    return {"paths": {}}


def document(resources: Resources, group: str, version: str) -> bytes | None:
    return None
