"""The controllers run against two Kubernetes APIs: the one in this process, and our server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from support import dependents
from support.api_server import ApiServer, shared
from support.breaking_kube import BreakingKube

from events.kube.client import connect
from events.kube.memory import MemoryKube


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with shared(tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@pytest.fixture(params=["memory", "server"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[dependents.World]:
    if request.param == "memory":
        async with dependents.world(BreakingKube(MemoryKube())) as made:
            yield made
        return
    server: ApiServer = request.getfixturevalue("api_server")
    client = await connect(str(server.kubeconfig))
    try:
        await dependents.define(client)
        async with dependents.world(BreakingKube(client)) as made:
            yield made
    finally:
        await client.aclose()
