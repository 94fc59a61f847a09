"""The example of the resource source, as a process that is killed while objects change: each failure is logged."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import Any

from support.keryx import keryx, until
from support.kube_server import KubeServer

from events.kube.api import Resource

EXAMPLE = Path(__file__).parents[2] / "examples/resource/resource.yaml"
POD = Resource("", "v1", "pods", "Pod", namespaced=True)
PODS, EVERY = 60, 20
"""How many fail, and after how many the process is killed."""


async def fail(server: KubeServer, name: str, team: str = "web") -> None:
    """A pod that runs, and then fails."""
    metadata = {"name": name, "namespace": "default", "labels": {"team": team}}
    made = await server.kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})
    for phase in ("Running", "Failed"):
        made = await server.kube.replace(made | {"status": {"phase": phase}}, status=True)


def logged(directory: Path) -> set[str]:
    """The pods that were logged, in all lives."""
    lines = [
        line
        for line in (directory / "stderr").read_text().splitlines()
        if '"triggerType":"Log"' in line.replace(" ", "")
    ]
    return {name for line in lines for name in re.findall(r"pod-[0-9]+|others", line)}


async def test_failures_are_logged_over_kills(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(7)
    async with KubeServer() as server:
        config = server.kubeconfig(tmp_path / "config")
        options: tuple[Any, ...] = ("run", EXAMPLE, "--data", tmp_path / "data", "--kubeconfig", config)
        async with keryx(tmp_path / "run", *options) as run:
            await run.says("Eventing server started")
            await fail(server, "others", "else")
            for number in range(PODS * rounds):
                await fail(server, f"pod-{number}")
                await asyncio.sleep(0.02)
                if number % EVERY == EVERY // 2:
                    run.kill()
                    run.start()
                    await asyncio.sleep(chance.random() * 2)
                    if number % (2 * EVERY) > EVERY:
                        server.kube.forget()
            wanted = {f"pod-{number}" for number in range(PODS * rounds)}
            await until(
                lambda: logged(tmp_path / "run") >= wanted,
                20 + 10 * rounds,
                what=lambda: sorted(wanted - logged(tmp_path / "run")),
            )
            assert logged(tmp_path / "run") == wanted
            assert await run.stop() == 0
