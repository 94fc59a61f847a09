"""Artifacts that are read from outside: files, config maps, URLs. Contract: sensors D.16; Z4, R8, P5."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from events.backoff import Backoff
from events.credentials import Credentials
from events.errors import ActionError, CredentialError
from events.logs import Log
from sensors import artifacts
from sensors.artifacts import url as url_artifact
from sensors.artifacts.locations import ArtifactLocation
from sensors.artifacts.url import UrlReader
from sensors.base import TriggerContext

POD = {"kind": "Pod", "size": 1}
TEXT = "kind: Pod\nsize: 1\n"
QUICK = Backoff(duration="1ms", steps=3)


def refuse() -> Any:
    raise AssertionError("not needed here")


def artifact(raw: dict[str, Any], context: TriggerContext | None = None, **options: Any) -> artifacts.Artifact:
    context = context or TriggerContext("ns", "s", "t", Log("test"), Credentials(()), kube=refuse, http=refuse)
    return artifacts.Artifact(ArtifactLocation.parse(raw), context, **({"backoff": QUICK} | options))


async def load(one: artifacts.Artifact) -> Any:
    return json.loads(await one.load())


# ---- files


async def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(TEXT)
    one = artifact({"file": {"path": str(path)}})
    assert await load(one) == POD
    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "to_json", refuse)
        assert await load(one) == POD
    other = tmp_path / "b.yaml"
    other.write_text("kind: Job\n")
    other.rename(path)
    assert await load(one) == {"kind": "Job"}


async def test_a_file_that_comes_late_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    one = artifact({"file": {"path": str(path)}}, backoff=Backoff(duration="50ms", steps=50))
    loading = asyncio.create_task(load(one))
    await asyncio.sleep(0.02)
    path.write_text(TEXT)
    assert await loading == POD


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory|not a regular file"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda path: path.write_bytes(b" " * (3 * 1024 * 1024 + 1)), "more than 3072 KiB"),
        (lambda path: path.write_text("- a"), "is not an object"),
        (lambda path: path.write_text("a: ["), "line 2"),
    ],
)
async def test_a_file_that_cannot_be_used_is_an_error(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "a"
    make(path)
    with pytest.raises(ActionError, match=message):
        await artifact({"file": {"path": str(path)}}).load()


@pytest.mark.parametrize("path", ["", None, "a\0b"])
async def test_a_path_that_is_none_is_an_error(path: str | None) -> None:
    with pytest.raises(ActionError, match="artifact 'file'"):
        await artifact({"file": {"path": path}}).load()


# ---- config maps


async def test_a_config_map_is_a_mounted_file(tmp_path: Path) -> None:
    place = tmp_path / "config" / "flows"
    place.mkdir(parents=True)
    (place / "flow").write_text(TEXT)
    context = TriggerContext("ns", "s", "t", Log("t"), Credentials((tmp_path,)), kube=refuse, http=refuse)
    one = artifact({"configmap": {"name": "flows", "key": "flow"}}, context)
    assert await load(one) == POD
    (place / "flow").write_text("kind: Other\n")
    assert await load(one) == {"kind": "Other"}
    with pytest.raises(CredentialError, match="no key 'nope'"):
        await artifact({"configmap": {"name": "flows", "key": "nope"}}, context).load()


# ---- URLs


class Site:
    """A web server whose pages are functions; it counts requests."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[web.Request], Any]] = {}
        self.requests: list[web.Request] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        result = self.pages[request.path](request)
        response: web.StreamResponse = await result if asyncio.iscoroutine(result) else result
        return response


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()


@pytest.fixture
async def context() -> AsyncIterator[TriggerContext]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield TriggerContext("ns", "s", "t", Log("t"), Credentials(()), kube=refuse, http=lambda: session)


async def test_an_unchanged_answer_is_not_sent_again(site: Site, context: TriggerContext) -> None:  # P5
    tag, body = ['"1"'], [TEXT]

    def page(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == tag[0]:
            return web.Response(status=304, headers={"ETag": tag[0]})
        return web.Response(text=body[0], headers={"ETag": tag[0]})

    site.pages["/a"] = page
    one = artifact({"url": {"path": f"{site.url}/a"}}, context)
    assert await load(one) == POD
    assert await load(one) == POD
    tag[0], body[0] = '"2"', "kind: Job\n"
    assert await load(one) == {"kind": "Job"}
    assert [request.headers.get("If-None-Match") for request in site.requests] == [None, '"1"', '"1"']


async def test_without_a_tag_every_attempt_reads_it(site: Site, context: TriggerContext) -> None:
    site.pages["/a"] = lambda _: web.json_response({"n": len(site.requests)})
    one = artifact({"url": {"path": f"{site.url}/a"}}, context)
    assert [await load(one), await load(one)] == [{"n": 1}, {"n": 2}]


async def test_a_tag_does_not_hold_for_another_place(site: Site, context: TriggerContext) -> None:
    def page(request: web.Request) -> web.Response:
        if "If-None-Match" in request.headers:
            return web.Response(status=304)
        return web.Response(text=f"path: {request.path}", headers={"ETag": '"same"'})

    target = ["/b"]
    site.pages |= {"/a": lambda _: web.Response(status=302, headers={"Location": target[0]}), "/b": page, "/c": page}
    one = artifact({"url": {"path": f"{site.url}/a"}}, context)
    assert await load(one) == {"path": "/b"}
    target[0] = "/c"
    assert await load(one) == {"path": "/c"}


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (401, 1), (204, 1), (304, 1), (500, 3), (503, 3), (429, 3)])
async def test_any_status_but_200_is_an_error(site: Site, context: TriggerContext, status: int, tries: int) -> None:
    site.pages["/a"] = lambda _: web.Response(status=status)
    with pytest.raises(ActionError, match=f"status {status}"):
        await artifact({"url": {"path": f"{site.url}/a?token=secret"}}, context).load()
    assert len(site.requests) == tries


async def test_what_fails_for_a_moment_is_tried_again(site: Site, context: TriggerContext) -> None:
    site.pages["/a"] = lambda _: web.Response(status=503) if len(site.requests) < 3 else web.Response(text=TEXT)
    assert await load(artifact({"url": {"path": f"{site.url}/a"}}, context)) == POD


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(4096):
        await response.write(b"#" * 65536)
    return response


async def stalling(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"kind: Pod\n")
    await asyncio.sleep(30)
    return response


async def broken(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"kind: Pod\n")
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (lambda _: web.Response(body=b"#" * (512 * 1024 + 1)), "more than 512 KiB"),  # Z4
        (endless, "more than 512 KiB"),
        (broken, "artifact 'url': GET"),
        (lambda _: web.Response(text="<html>sign in</html>", content_type="text/html"), "is not an object"),
        (lambda _: web.Response(text="[1, 2]"), "is not an object"),
        (lambda _: web.Response(body=b""), "is empty"),
        (lambda _: web.Response(body=b"\x89PNG\xff"), "not UTF-8"),
        (lambda _: web.Response(body=b"x", headers={"Content-Encoding": "gzip"}), "encoded as 'gzip'"),
        (lambda _: web.Response(status=302, headers={"Location": "/a"}), "stopped after 10 redirects"),
        (lambda _: web.Response(status=302, headers={"Location": "file:///etc/passwd"}), "not an http or https URL"),
        (lambda _: web.Response(status=302), "status 302"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_an_error(
    site: Site, context: TriggerContext, page: Any, message: str
) -> None:
    site.pages["/a"] = page
    with pytest.raises(ActionError, match=message):
        await artifact({"url": {"path": f"{site.url}/a"}}, context).load()


async def test_a_body_of_exactly_the_limit_is_read(site: Site, context: TriggerContext) -> None:
    body = TEXT + "#" * (512 * 1024 - len(TEXT))
    site.pages["/a"] = lambda _: web.Response(text=body)
    assert await load(artifact({"url": {"path": f"{site.url}/a"}}, context)) == POD


async def hanging(_request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response(text=TEXT)


@pytest.mark.parametrize("page", [hanging, stalling])
async def test_a_server_that_hangs_holds_nobody(site: Site, context: TriggerContext, page: Any) -> None:  # R8
    site.pages["/a"] = page
    location = ArtifactLocation.parse({"url": {"path": f"{site.url}/a"}})
    assert location.url is not None
    started = time.monotonic()
    with pytest.raises(ActionError, match=r"no complete answer within 0\.1 s"):
        await UrlReader(location.url, context, seconds=0.1).read()
    with pytest.raises(ActionError, match=r"artifact 'url': not read within 0\.2 s"):
        await artifact({"url": {"path": f"{site.url}/a"}}, context, seconds=0.2).load()
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "path", ["ftp://h/a", "file:///etc/passwd", "/etc/passwd", "", "http://", "http://h:x/", "http://h/%zz"]
)
async def test_only_web_addresses_are_read(context: TriggerContext, path: str) -> None:
    with pytest.raises(ActionError, match="artifact 'url': "):
        await artifact({"url": {"path": path}}, context).load()


async def test_a_port_nobody_listens_on_is_an_error_without_the_query(context: TriggerContext) -> None:
    with pytest.raises(ActionError, match=r"GET http://127\.0\.0\.1:1/a: ") as error:
        await artifact({"url": {"path": "http://127.0.0.1:1/a?token=secret"}}, context).load()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("verify", "verifies"), [(None, True), (True, True), (False, False)])
async def test_certificates_are_verified_unless_told_otherwise(
    context: TriggerContext, monkeypatch: pytest.MonkeyPatch, verify: bool | None, verifies: bool
) -> None:  # Z4
    used: list[ssl.SSLContext | None] = []

    async def fetch(*_args: Any, tls: ssl.SSLContext | None, **_more: Any) -> Any:
        used.append(tls)
        raise ActionError("enough seen")

    monkeypatch.setattr("sensors.http_client.fetch", fetch)
    with pytest.raises(ActionError):
        await artifact({"url": {"path": "https://h/a", "verifyCert": verify}}, context, backoff=Backoff(steps=1)).load()
    assert (used[0] is None) == verifies
    assert url_artifact.SECONDS == 10
