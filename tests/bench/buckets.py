"""What the s3 source costs, mode by mode: events/s, CPU of its process, memory.

`PYTHONPATH=tests python tests/bench/buckets.py`
Moto, which stands for SQS, is the limit of mode sqs: its figure of note is the CPU per 1,000. Lists and MinIO's stream
come from stand-ins that do next to nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from support.aws import REGION, aws
from support.keryx import Keryx, keryx, obj, pod_environment
from support.loss import count_on_the_bus
from support.minio import Minio, minio, told
from support.nats_server import NatsServer

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = 1000


def environment(nats: NatsServer, spec: dict[str, Any]) -> dict[str, str]:
    described = base64.b64encode(json.dumps(obj("EventSource", "src", {"s3": {"ev": spec}})).encode()).decode()
    more = {"EVENTSOURCE_OBJECT": described, "AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "pass"}
    return pod_environment(nats.url) | more


def cpu(run: Keryx) -> float:
    """Seconds that the process has used."""
    assert run.process is not None
    fields = Path(f"/proc/{run.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(run: Keryx, what: str = "VmRSS") -> float:
    """MiB; VmHWM is the most it ever was."""
    assert run.process is not None
    lines = Path(f"/proc/{run.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


async def stored(nats: NatsServer, number: int, seconds: float = 600) -> None:
    async with asyncio.timeout(seconds):
        while await count_on_the_bus(nats) < number:
            await asyncio.sleep(0.05)


def said(what: str, number: int, seconds: float, used: float, run: Keryx) -> None:
    rate, each, most = number / seconds, used / number * 1000, memory(run, "VmHWM")
    print(f"{what}: {number} in {seconds:.1f} s, {rate:.0f}/s, CPU {each:.2f} s per 1,000, at most {most:.0f} MiB")


async def sqs(directory: Path, nats: NatsServer, number: int, records: int) -> None:
    """Messages of so many records each; the queue is never long, as moto looks through all of it."""
    with aws() as moto:
        moto.reset()
        queue = moto.client("sqs")
        url = queue.create_queue(QueueName="uploads")["QueueUrl"]
        fields = {"name": "uploads", "waitTimeSeconds": 1, "receivers": 4}
        spec = {"mode": "sqs", "region": REGION, "endpoint": moto.url, "queue": fields}
        async with keryx(directory / "run", "eventsource-service", environ=environment(nats, spec)) as run:
            await run.says("Eventing server started", 30)
            before, begin, began = await count_on_the_bus(nats), cpu(run), time.monotonic()
            for first in range(0, number, 500):
                for at in range(first, min(first + 500, number), 10 * records):
                    entries = [
                        {
                            "Id": str(one),
                            "MessageBody": json.dumps(
                                {"Records": [told(f"{records}/{one + n}") for n in range(records)]}
                            ),
                        }
                        for one in range(at, at + 10 * records, records)
                    ]
                    await asyncio.to_thread(queue.send_message_batch, QueueUrl=url, Entries=entries)
                await stored(nats, before + first + 500)
            seconds = time.monotonic() - began
            said(f"sqs (what moto takes is in it), {records} records a message", number, seconds, cpu(run) - begin, run)


async def listen(directory: Path, nats: NatsServer, number: int) -> None:
    async with minio() as server:
        server.region = REGION
        spec = {"mode": "listen", "region": REGION, "endpoint": f"http://{server.host}", "buckets": ["input"]}
        async with keryx(directory / "run", "eventsource-service", environ=environment(nats, spec)) as run:
            await run.says("Eventing server started", 30)
            before, begin, began = await count_on_the_bus(nats), cpu(run), time.monotonic()
            await tell(server, number)
            await stored(nats, before + number)
            said("listen", number, time.monotonic() - began, cpu(run) - begin, run)


async def tell(server: Minio, number: int) -> None:
    for first in range(0, number, 500):
        lines = [json.dumps({"Records": [told(f"k{one}", sequencer=str(one))]}) for one in range(first, first + 500)]
        server.say("\n".join([*lines, ""]).encode())
        await asyncio.sleep(0)


class Lists:
    """A bucket that can only be listed."""

    def __init__(self, number: int) -> None:
        self.number, self.lists, self.url = number, 0, ""
        self.pages = [self._page(begin, "0") for begin in range(0, number, PAGE)]

    def _page(self, begin: int, generation: str) -> bytes:
        modified = f"2026-01-0{int(generation) + 1}T00:00:00.000Z"
        rows = "".join(
            f"<Contents><Key>in/some/folder-{self.number}/object-{one:09}.csv</Key>"
            f"<LastModified>{modified}</LastModified><ETag>&quot;{one:030x}0{generation}&quot;</ETag><Size>{one}</Size></Contents>"
            for one in range(begin, min(begin + PAGE, self.number))
        )
        is_more = begin + PAGE < self.number
        more = f"<NextContinuationToken>{begin + PAGE}</NextContinuationToken>" if is_more else ""
        flag = f"<IsTruncated>{str(is_more).lower()}</IsTruncated>{more}"
        return f"<ListBucketResult>{flag}{rows}</ListBucketResult>".encode()

    def change(self, pages: int) -> None:
        """Every object of the first pages is another one."""
        for number in range(pages):
            self.pages[number] = self._page(number * PAGE, "1")

    async def handle(self, request: web.Request) -> web.Response:
        begin = int(request.query.get("continuation-token", "0"))
        if begin + PAGE >= self.number:
            self.lists += 1
        return web.Response(body=self.pages[begin // PAGE], content_type="application/xml")

    async def listed(self, times: int) -> None:
        wanted = self.lists + times
        async with asyncio.timeout(900):
            while self.lists < wanted:
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


async def poll(directory: Path, nats: NatsServer, number: int) -> None:
    """The first look, one at which nothing has changed, one at which a tenth has."""
    lists = Lists(number)
    async with lists.serving():
        fields = {"interval": "1s", "existing": False}
        spec = {"mode": "poll", "region": REGION, "endpoint": lists.url, "buckets": ["input"], "poll": fields}
        async with keryx(directory / "run", "eventsource-service", environ=environment(nats, spec)) as run:
            began = time.monotonic()
            await lists.listed(1)
            used, seconds, idle = cpu(run), time.monotonic() - began, memory(run)
            print(f"poll, first look at {number}: {seconds:.1f} s, CPU {used:.1f} s, {idle:.0f} MiB")
            await lists.listed(1)
            begin, began = cpu(run), time.monotonic()
            await lists.listed(2)
            seconds, used = (time.monotonic() - began) / 2, (cpu(run) - begin) / 2
            print(f"poll, nothing new of {number}: {seconds:.1f} s with the pause of 1 s, CPU {used:.1f} s")
            before = await count_on_the_bus(nats)
            lists.change(number // PAGE // 10)
            begin, began = cpu(run), time.monotonic()
            await stored(nats, before + number // 10)
            said("poll, a tenth changed", number // 10, time.monotonic() - began, cpu(run) - begin, run)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--objects", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        nats = NatsServer(root / "nats")
        await nats.start()
        try:
            await sqs(root / "sqs", nats, options.events, 1)
            await sqs(root / "sqs10", nats, options.events, 10)
            await listen(root / "listen", nats, options.events * 4)
            for number in (options.objects // 10, options.objects):
                await poll(root / f"poll{number}", nats, number)
        finally:
            nats.kill()


if __name__ == "__main__":
    asyncio.run(main())
