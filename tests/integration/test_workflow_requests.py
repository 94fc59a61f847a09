"""HTTP templates against a real server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from events.local.workflows import requests


async def secret(name: str, key: str) -> str:
    return f"{name}/{key}"


async def echoed(request: web.Request) -> web.Response:
    text = f"{request.method} {request.headers.get('X-Key', '')} {(await request.read()).decode()}\n"
    return web.Response(text=text, status=int(request.query.get("status", "200")), headers={"X-Answer": "yes"})


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/", echoed)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def ask(**http: Any) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        return await requests.ask(session, {"http": http}, secret)


async def test_the_raw_body_is_the_result(url: str) -> None:
    source = {"secretKeyRef": {"name": "s", "key": "k"}}
    answer = await ask(url=url, method="POST", body="data", headers=[{"name": "X-Key", "valueFrom": source}])
    assert answer == {"phase": "Succeeded", "message": "", "outputs": {"result": "POST s/k data\n"}}


async def test_another_status_than_2xx_fails_with_the_body_kept(url: str) -> None:
    answer = await ask(url=f"{url}?status=404")
    assert (answer["phase"], answer["message"]) == ("Failed", "received non-2xx response code: 404")
    assert answer["outputs"]["result"].startswith("GET")


@pytest.mark.parametrize(
    ("condition", "phase"),
    [
        ("response.statusCode == 404", "Succeeded"),
        ("response.headers['X-Answer'][0] == 'yes' && response.body contains 'GET'", "Succeeded"),
        ("response.statusCode == 200", "Failed"),
        ("response.statusCode ==", "Failed"),
    ],
)
async def test_a_success_condition_decides_alone(url: str, condition: str, phase: str) -> None:
    assert (await ask(url=f"{url}?status=404", successCondition=condition))["phase"] == phase


async def test_a_server_that_is_away_is_a_failure_of_the_node() -> None:
    answer = await ask(url="http://127.0.0.1:1/")
    assert answer["phase"] == "Failed"
    assert "127.0.0.1" in answer["message"]


async def test_nobody_executes_plugins() -> None:
    async with aiohttp.ClientSession() as session:
        answer = await requests.ask(session, {"plugin": {"x": {}}}, secret)
    assert answer["message"].startswith("no plugin executed the template (")
