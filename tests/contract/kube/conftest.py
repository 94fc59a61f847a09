"""What the controllers stand on runs against two Kubernetes APIs: the one in this process, and our server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from support.api_server import ApiServer, shared
from support.breaking_kube import BreakingKube

from events.kube.client import connect
from events.kube.memory import MemoryKube


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with shared(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(params=["memory", "server"])
async def kube(request: pytest.FixtureRequest) -> AsyncIterator[BreakingKube]:
    if request.param == "memory":
        yield BreakingKube(MemoryKube())
        return
    server: ApiServer = request.getfixturevalue("api_server")
    client = await connect(str(server.kubeconfig))
    yield BreakingKube(client)
    await client.aclose()
    await asyncio.sleep(0.05)  # a TLS connection that was cut closes in the next rounds of the loop


@pytest.fixture
async def space(kube: BreakingKube) -> str:
    """A namespace of the test's own."""
    name = f"ns-{uuid.uuid4().hex[:8]}"
    await kube.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name
