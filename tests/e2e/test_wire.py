"""What is on the bus: upstream's form in and out, and what is no event at all."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import nats as nats_py
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cloudevents.core.formats.json import JSONFormat
from support.keryx import Keryx, Sink, exotic, http_sink, keryx, poster, relay, until, webhook, write
from support.nats_server import NatsServer
from support.ports import free_port

# The facts of https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/cloudevents.json, and contract E.6.
CLOUD_EVENT = {
    "type": "object",
    "required": ["id", "source", "specversion", "type", "data_base64"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "source": {"type": "string", "minLength": 1},
        "specversion": {"const": "1.0"},
        "type": {"type": "string", "minLength": 1},
        "subject": {"type": "string", "minLength": 1},
        "datacontenttype": {"const": "application/json"},
        "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
        "data_base64": {"type": "string", "contentEncoding": "base64"},
    },
    "additionalProperties": False,
}


class World:
    """`keryx run` on a bus that the test can reach."""

    def __init__(self, run: Keryx, sink: Sink, port: int, connection: Any) -> None:
        self.run, self.sink, self.port, self.connection = run, sink, port, connection

    async def publish(self, data: bytes, subject: str = "default.hooks.posted", **headers: str) -> None:
        await self.connection.jetstream().publish(subject, data, headers=headers or None)


@asynccontextmanager
async def world(tmp_path: Path, **trigger: Any) -> AsyncIterator[World]:
    server, port = NatsServer(tmp_path / "nats"), free_port()
    await server.start()
    try:
        async with http_sink() as sink:
            sensor = relay(sink.url, at_least_once=True, **trigger)
            write(tmp_path / "in/all.yaml", webhook(port), sensor, exotic(server.url))
            arguments = ("run", tmp_path / "in", "--data", tmp_path / "data", "--metrics-port", "0")
            async with keryx(tmp_path, *arguments) as run:
                await run.ready()
                connection = await nats_py.connect(server.url)
                try:
                    yield World(run, sink, port, connection)
                finally:
                    await connection.close()
    finally:
        server.kill()


def upstream_event(data: Any, **more: Any) -> bytes:
    """An event as Argo Events writes it: contract E.6."""
    event = {
        "specversion": "1.0",
        "id": "3f2504e04f8911d39a0c0305e82c3301",
        "source": "hooks",
        "type": "webhook",
        "subject": "posted",
        "datacontenttype": "application/json",
        "time": "2026-01-02T03:04:05.123456789Z",
        "data_base64": base64.b64encode(json.dumps(data).encode()).decode(),
    }
    return json.dumps({name: value for name, value in (event | more).items() if value is not None}).encode()


async def test_an_event_of_argo_events_fires_a_sensor(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.publish(upstream_event({"header": {}, "body": {"number": 7}}), **{"Nats-Msg-Id": "3f25"})
        await until(lambda: here.sink.numbers == [7], what=lambda: here.run.err)


async def test_what_we_publish_is_a_cloud_event(tmp_path: Path) -> None:
    async with world(tmp_path) as here, poster(here.port) as posts:
        assert await posts.post(7) == 200
        message = await here.connection.jetstream().get_msg("default", 1)
        assert message.subject == "default.hooks.posted"
        jsonschema.validate(json.loads(message.data), CLOUD_EVENT)
        members = list(json.loads(message.data))
        assert members == ["specversion", "id", "source", "type", "subject", "datacontenttype", "time", "data_base64"]
        headers = {"content-type": "application/cloudevents+json"}
        event = from_structured_event(HTTPMessage(headers=headers, body=message.data), JSONFormat())
        assert (event.get_source(), event.get_type(), event.get_subject()) == ("hooks", "webhook", "posted")
        data = event.get_data()
        assert json.loads(data if isinstance(data, bytes | str) else json.dumps(data))["body"] == {"number": 7}


POISON = {
    "no text": b"\xff\x00\xfe",
    "empty": b"",
    "no object": b"[]",
    "no id": upstream_event({}, id=None),
    "no base64": upstream_event({}, data_base64="%"),
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deep data": upstream_event({}, data_base64=base64.b64encode(b"[" * 5000 + b"]" * 5000).decode()),
    "deep raw data": upstream_event({}, data_base64=None)[:-1] + b',"data":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "half raw data": upstream_event({}, data_base64=None)[:-1] + b',"data":{"a":1}',
    "lone surrogate": upstream_event({}, data_base64=None)[:-1] + b',"data":"\\ud800"}',
    "huge number": upstream_event(
        {}, data_base64=base64.b64encode(b'{"body":{"number":' + b"9" * 5000 + b"}}").decode()
    ),
    "no body": upstream_event({"other": 1}),
    "no data": upstream_event({}, data_base64=None),
    "a time that is none": upstream_event({}, time="yesterday"),
    "another version": upstream_event({}, specversion="2.0"),
}


async def test_poison_on_the_stream_is_decided_and_the_next_event_is_handled(tmp_path: Path) -> None:
    async with world(tmp_path, retryStrategy={"steps": 1}) as here, poster(here.port) as posts:
        for data in POISON.values():
            await here.publish(data)
        assert await posts.post(7) == 200
        await until(lambda: 7 in here.sink.numbers, what=lambda: here.run.err)
        await asyncio.sleep(0.1)
        decisions = await here.run.decisions()
        assert sum(decisions.values()) == len(POISON) + 1, decisions
        assert decisions["fired"] <= 2
        assert here.run.count < 30
        assert await here.run.stop() == 0


REFUSED = {
    "deep": (b"[" * 5000 + b"]" * 5000, 400),
    "half": (b'{"number": ', 400),
    "no text": (b"\xff\xfe", 400),
    "too large for the endpoint": (b'"' + b"x" * (1 << 20) + b'"', 413),
    "too large for the bus": (b'"' + b"x" * ((1 << 20) - 6000) + b'"', 413),
}


async def test_a_body_that_cannot_become_an_event_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as here, poster(here.port) as posts, aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json"}
        for number, (name, (body, status)) in enumerate(REFUSED.items()):
            url = f"http://127.0.0.1:{here.port}/posted"
            answer = await session.post(url, data=io.BytesIO(body), headers=headers)
            assert (name, answer.status) == (name, status), await answer.text()
            assert await posts.post(number) == 200
        await until(lambda: here.sink.numbers == [*range(len(REFUSED))], what=lambda: here.run.err)


async def test_parameters_that_cannot_be_resolved_fail_their_event_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as here, aiohttp.ClientSession() as session, poster(here.port) as posts:
        url = f"http://127.0.0.1:{here.port}/posted"
        assert (await session.post(url, json={"other": 1})).status == 200
        assert await posts.post(7) == 200
        await until(lambda: here.sink.numbers == [7], what=lambda: here.run.err)
        decisions = await here.run.decisions()
        assert decisions["fired"] == 1
        assert decisions["failed event"] == 1
