"""Large node trees, compressed in the status. Contract: workflows C.6."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

Object = dict[str, Any]
MOST = 1024 * 1024
"""Bytes of nodes that are stored as they are."""


def packed(workflow: Object) -> Object:
    """The Workflow as it is stored."""
    nodes = (workflow.get("status") or {}).get("nodes")
    text = json.dumps(nodes, separators=(",", ":")).encode() if nodes else b""
    if len(text) <= MOST:
        return workflow
    status = {key: value for key, value in workflow["status"].items() if key != "nodes"}
    status["compressedNodes"] = base64.b64encode(gzip.compress(text, mtime=0)).decode()
    return {**workflow, "status": status}


def unpacked(workflow: Object) -> Object:
    """The Workflow with its nodes."""
    status = workflow.get("status") or {}
    text = status.get("compressedNodes")
    if not text:
        return workflow
    rest = {key: value for key, value in status.items() if key != "compressedNodes"}
    return {**workflow, "status": {**rest, "nodes": json.loads(gzip.decompress(base64.b64decode(text)))}}
