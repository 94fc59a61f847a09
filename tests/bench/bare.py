"""What the same libraries do without us: POST -> nats-py publish -> 200. `python -m bench.bare BUS` prints its port."""

from __future__ import annotations

import asyncio
import sys
import uuid

import nats
import uvloop
from aiohttp import web

from events.event import Event, now_text, to_wire


async def serve(url: str) -> None:
    stream = (await nats.connect(url)).jetstream()
    await stream.add_stream(name="default", subjects=["default.*.*"], duplicate_window=300)

    async def post(request: web.Request) -> web.Response:
        data = await request.read()
        identity = uuid.uuid4().hex
        event = Event(id=identity, source="bench", type="webhook", subject="a", data=data, time=now_text())
        await stream.publish("default.bench.a", to_wire(event), headers={"Nats-Msg-Id": identity})
        return web.Response(text="success")

    app = web.Application()
    app.router.add_post("/a", post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
