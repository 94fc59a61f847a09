"""The server that teaches manners: some requests fail, the same for the same seed; health never does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from events.local.apiserver import faults
from events.local.apiserver.controllers.services import AddressPool, PortPool, Taken, ports_of
from events.local.apiserver.faults import Faults
from events.logs import Log


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_LONGEST_DELAY", 0.0)


async def fine(_request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=200)


async def answers(seed: int, path: str, method: str = "GET", times: int = 300) -> list[int]:
    handler = Faults(seed, Log("test")).around(fine)
    return [(await handler(make_mocked_request(method, path))).status for _ in range(times)]


async def test_some_requests_fail_and_the_seed_says_which() -> None:
    first = await answers(7, "/api/v1/pods")
    assert first == await answers(7, "/api/v1/pods")
    assert first != await answers(8, "/api/v1/pods")
    counted = Counter(first)
    assert set(counted) <= {200, 429, 500}
    assert counted[200] > 250
    assert 409 in await answers(7, "/api/v1/namespaces/a/pods/b", "PUT", 1000)


async def test_what_tells_that_the_server_lives_is_left_alone() -> None:
    for path in ("/healthz", "/readyz", "/version", "/api", "/openapi/v3"):
        assert set(await answers(7, path, times=100)) == {200}


async def test_watches_begin_anew() -> None:
    assert 410 in await answers(7, "/api/v1/pods?watch=1&resourceVersion=5")


def test_each_service_has_an_address_of_its_own() -> None:
    pool = AddressPool("10.0.0.0/28")
    pool.restore([{"spec": {"clusterIP": "10.0.0.11"}}, {"spec": {"clusterIP": "None"}}])
    given = [pool.take({}) for _ in range(3)]
    assert "10.0.0.11" not in given
    assert len(set(given)) == 3
    assert pool.take({"spec": {"clusterIP": "10.0.0.5"}}) == "10.0.0.5"
    assert pool.take({}) == "10.0.0.10"
    with pytest.raises(LookupError, match="no address is left"):
        pool.take({})
    pool.give_back(given[0])
    assert pool.take({}) == given[0]
    with pytest.raises(Taken, match="already allocated"):
        pool.take({"spec": {"clusterIP": given[0]}})


def service(*ports: int | None, kind: str = "NodePort") -> dict[str, Any]:
    return {"spec": {"type": kind, "ports": [{"nodePort": one} if one else {} for one in ports]}}


def test_each_service_has_ports_of_its_own() -> None:
    pool = PortPool(30_000, 30_003)
    pool.restore([service(30_001)])
    first, second = service(None, 30_000), service(None)
    pool.complete_in_place(first)
    pool.complete_in_place(second)
    assert [ports_of(one) for one in (first, second)] == [{30_000, 30_002}, {30_003}]
    with pytest.raises(LookupError):
        pool.complete_in_place(service(None))
    with pytest.raises(Taken, match="already allocated"):
        pool.complete_in_place(service(30_001))
    pool.complete_in_place(first, first)  # written again
    pool.give_back(second, service(kind="ClusterIP"))
    pool.complete_in_place(third := service(None))
    assert ports_of(third) == {30_003}
    plain = service(None, kind="ClusterIP")
    pool.complete_in_place(plain)
    assert not ports_of(plain)
