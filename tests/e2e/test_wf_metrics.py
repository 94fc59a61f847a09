"""Metrics of workflows, where `keryx status` says that `keryx up` serves them."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from support import kubectls
from support.keryx import COMMAND
from support.machine import Machine, machine

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(480),
]


async def status(here: Machine) -> dict[str, str]:
    """The lines of `keryx status`."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(str(COMMAND), "status", "--data", str(here.data), stdout=pipe)
    out, _ = await process.communicate()
    return {
        name.strip(): value.strip() for name, _, value in (one.partition("  ") for one in out.decode().splitlines())
    }


async def test_what_a_workflow_counts_is_served(tmp_path: Path) -> None:
    labels = [{"key": "how", "value": "{{status}}"}]
    counter = {"name": "greetings", "help": "How often.", "labels": labels, "counter": {"value": "1"}}
    container = {"image": "busybox", "command": ["true"]}
    template = {"name": "main", "container": container, "metrics": {"prometheus": [counter]}}
    async with machine(tmp_path) as here, aiohttp.ClientSession() as client:
        obj = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}}
        await here.apply({**obj, "spec": {"entrypoint": "main", "templates": [template]}})
        url = (await status(here))["metrics"]
        ends = time.monotonic() + 60
        while True:
            async with client.get(url) as response:
                text = await response.text()
            if 'argo_workflows_greetings_total{how="Succeeded"} 1.0' in text:
                break
            assert time.monotonic() < ends, text
            await asyncio.sleep(0.1)
