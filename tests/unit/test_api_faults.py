"""The server that teaches manners: some requests fail, the same for the same seed; health never does."""

from __future__ import annotations

from collections import Counter

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from events.local.apiserver import faults
from events.local.apiserver.controllers.services import AddressPool
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
