"""Why a bus does not come up, on a whole `keryx up` with real pods."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support import kubectls
from support.machine import machine

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(240),
]


def bus(**jetstream: Any) -> dict[str, Any]:
    spec = {"jetstream": {"version": "latest", "replicas": 1, **jetstream}}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "EventBus", "metadata": {"name": "default"}, "spec": spec}


def deployed(obj: dict[str, Any]) -> dict[str, Any]:
    found = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == "Deployed"), {})


async def test_a_bus_whose_pod_finds_no_node_or_ends_says_so(tmp_path: Path) -> None:
    async with machine(tmp_path, "--crash-backoff", "1") as here:
        await here.apply(bus(nodeSelector={"disk": "fast"}))
        it = await here.until(lambda it: deployed(it).get("reason") == "Unschedulable", "eventbus/default")
        assert "pod eventbus-default-js-0: 0/1 nodes are available" in deployed(it)["message"]
        described = await here.kubectl("describe", "eventbus", "default")
        assert "Unschedulable" in described
        shown = await here.kubectl("get", "eventbus", "default", "-o", "wide")
        assert "Unschedulable" in shown
        await here.kubectl("delete", "eventbus", "default")
        await here.apply(bus(startArgs=["--config", "/no/such/file"]))
        it = await here.until(lambda it: deployed(it).get("reason") == "CrashLoopBackOff", "eventbus/default")
        assert (
            "main: the container ends with exit code 1: nats-server: open /no/such/file" in deployed(it)["message"]
        ), deployed(it)
