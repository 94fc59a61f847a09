"""The awsLambda trigger against moto on loopback, and a stand-in for what moto has not. Contract: sensors D.4; X5."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.aws import REGION, Aws, aws
from support.triggers import context, fire, firing, secret, value

from events.errors import ActionError, CredentialError
from sensors.triggers import aws_lambda
from sensors.triggers.aws_lambda import AwsLambdaSpec, AwsLambdaTrigger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[Aws]:
    with aws() as running:
        running.reset()
        running.make_function("hello")
        yield running


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but those of the test."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def moto(server: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return server


def trigger(root: Path, **spec: Any) -> AwsLambdaTrigger:
    given = {
        "functionName": "hello",
        "region": REGION,
        "accessKey": secret("user"),
        "secretKey": secret("password"),
        "payload": [value("v", "name")],
    } | spec
    given = {name: one for name, one in given.items() if one is not None}
    return AwsLambdaTrigger(AwsLambdaSpec.parse(given), context(root))


async def test_a_function_gets_the_payload_and_its_answer_is_the_result(moto: Aws, tmp_path: Path) -> None:
    result = await fire(trigger(tmp_path), firing({"v": "Ada"}))
    assert (result.status, json.loads(result.value)) == (200, {"name": "Ada"})


@pytest.mark.parametrize(("how", "status"), [(None, 200), ("RequestResponse", 200), ("Event", 202), ("DryRun", 204)])
async def test_ways_to_invoke(moto: Aws, tmp_path: Path, how: str | None, status: int) -> None:
    assert (await fire(trigger(tmp_path, invocationType=how))).status == status


async def test_an_empty_payload_is_none(moto: Aws, tmp_path: Path) -> None:
    assert (await fire(trigger(tmp_path, payload=[]))).status == 200


async def test_parameters_change_the_payload(moto: Aws, tmp_path: Path) -> None:
    result = await fire(trigger(tmp_path), payload=[value("v", "changed")])
    assert json.loads(result.value) == {"changed": "x"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"functionName": ""}, "lambda: Parameter validation failed"),
        ({"secretKey": None}, "Partial credentials|PartialCredentials"),
        ({"accessKey": None, "secretKey": None}, "Unable to locate credentials"),
        ({"roleARN": "arn:aws:iam::123456789012:role/invoker"}, "Unable to locate credentials"),
    ],
)
async def test_what_is_refused_is_a_failed_attempt(
    moto: Aws, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ActionError, match=message):
        await fire(trigger(tmp_path, **change))


async def test_a_role_is_assumed_with_the_credentials_of_the_process(
    moto: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "own")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")
    role = {"roleARN": "arn:aws:iam::123456789012:role/invoker"}
    (await fire(trigger(tmp_path, accessKey=None, secretKey=None)))
    assert (await fire(trigger(tmp_path, **role))).status == 200


async def test_a_missing_secret_is_said(moto: Aws, tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="no key 'nope'"):
        await fire(trigger(tmp_path, accessKey=secret("nope")))


# ---- what moto does not do


@asynccontextmanager
async def stand_in(answer: Any) -> AsyncIterator[tuple[str, list[web.Request]]]:
    requests: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        response: web.StreamResponse = await answer(request)
        return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", requests
    finally:
        await runner.cleanup()


async def test_parameters_choose_the_function_and_one_that_is_not_there_is_a_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def absent(_request: web.Request) -> web.Response:
        headers = {"x-amzn-ErrorType": "ResourceNotFoundException"}
        return web.json_response({"Message": "Function not found"}, status=404, headers=headers)

    async with stand_in(absent) as (url, requests):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        with pytest.raises(ActionError, match=r"ResourceNotFoundException.*Function not found"):
            await fire(trigger(tmp_path), functionName="other")
        [request] = requests
        assert request.path == "/2015-03-31/functions/other/invocations"


async def test_a_function_that_failed_is_a_failed_attempt(  # X5
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failed(_request: web.Request) -> web.Response:
        body = {"errorMessage": "boom", "errorType": "ValueError"}
        return web.json_response(body, headers={"X-Amz-Function-Error": "Unhandled"})

    async with stand_in(failed) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        with pytest.raises(ActionError, match=r"the function failed \(Unhandled\): boom"):
            await fire(trigger(tmp_path))


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_attempt_is_one_invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"message": "later"}, status=status, headers={"x-amzn-ErrorType": "Throttled"})

    async with stand_in(refuse) as (url, requests):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        with pytest.raises(ActionError, match="later"):
            await fire(trigger(tmp_path))
        assert len(requests) == 1


async def test_keys_are_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({})

    async with stand_in(answer) as (url, requests):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        one = trigger(tmp_path)
        await fire(one)
        (tmp_path / "secrets/creds/user").write_text("grace")
        await fire(one)
        signed = [
            request.headers["Authorization"].partition("Credential=")[2].partition("/")[0] for request in requests
        ]
        assert signed == ["ada", "grace"]


async def test_a_function_that_hangs_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # R8
    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        raise AssertionError

    monkeypatch.setattr(aws_lambda, "_SHORT_SECONDS", 2.0)
    async with stand_in(hang) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        one = trigger(tmp_path, invocationType="Event")
        loop = asyncio.get_running_loop()
        started, longest, last = loop.time(), 0.0, loop.time()
        running = asyncio.create_task(fire(one))
        while not running.done():
            await asyncio.sleep(0.01)
            longest, last = max(longest, loop.time() - last), loop.time()
        with pytest.raises(ActionError, match=r"no answer within|timed out|Read timeout"):
            await running
        assert loop.time() - started < 20
        assert longest < 1.5, "the loop was held up"
