"""The examples of sources that need a service beside them, as processes."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from aiohttp import web
from support.keryx import keryx, obj, until, write
from support.pubsub import PROJECT, emulator
from support.pubsub_front import front, server_certificate

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_pubsub(tmp_path: Path) -> None:
    with emulator() as google:
        manifest = EXAMPLES / "pubsub/pubsub.yaml"
        environ = {"PUBSUB_EMULATOR_HOST": google.address}
        async with keryx(tmp_path / "run", "run", manifest, "--data", tmp_path / "data", environ=environ) as run:
            await run.says("Eventing server started", 30)
            google.publish("projects/my-project/topics/orders", b'{"total":50}', b'{"total":150}')
            await until(lambda: '"triggerType":"Log"' in run.err.replace(" ", ""), what=lambda: run.err)
            await asyncio.sleep(0.3)
            assert len([line for line in run.lines if line.get("triggerType") == "Log" and "total" in str(line)]) == 1
            assert await run.stop() == 0


async def test_generic(tmp_path: Path) -> None:
    command = (sys.executable, str(EXAMPLES / "generic/server.py"), "--port", "0")
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    try:
        address = (await server.stdout.readline()).decode().split()[-1]
        manifest = tmp_path / "generic.yaml"
        manifest.write_text((EXAMPLES / "generic/generic.yaml").read_text().replace("localhost:50051", address))
        async with keryx(tmp_path / "run", "run", manifest, "--data", tmp_path / "data") as run:
            await until(lambda: "hello" in run.err, 30, what=lambda: run.err)
            assert await run.stop() == 0
    finally:
        server.kill()
        await server.wait()


async def test_workload_identity(tmp_path: Path) -> None:
    """The machine says who it is, and in which project: its metadata server is the test's own."""

    async def answer(request: web.Request) -> web.Response:
        found = {
            "/computeMetadata/v1/project/project-id": PROJECT,
            "/computeMetadata/v1/instance/service-accounts/default/": json.dumps({"email": "me@x", "scopes": []}),
            "/computeMetadata/v1/instance/service-accounts/default/token": json.dumps(
                {"access_token": "t0ken", "expires_in": 3600, "token_type": "Bearer"}
            ),
            "/computeMetadata/v1/universe/universe-domain": "googleapis.com",
        }.get(request.path, "ok" if request.path == "/" else None)
        is_json = found is not None and found.startswith("{")
        return web.Response(
            text=found or "",
            status=200 if found else 404,
            headers={"Metadata-Flavor": "Google"},
            content_type="application/json" if is_json else "application/text",
        )

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        with emulator() as google:
            async with front(google.address) as before:
                before.tokens = {"t0ken"}
                spec = {"topic": "orders", "subscriptionID": "orders", "endpoint": before.endpoint}
                manifest = write(tmp_path / "source.yaml", obj("EventSource", "src", {"pubSub": {"ev": spec}}))
                environ = {
                    "GCE_METADATA_HOST": host,
                    "GCE_METADATA_IP": host,
                    "GCE_METADATA_ROOT": host,
                    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": server_certificate()[2],
                    "HOME": str(tmp_path),
                    "PATH": "/nowhere",  # no gcloud that would know a project
                }
                arguments = ("run", manifest, "--data", tmp_path / "data")
                async with keryx(tmp_path / "run", *arguments, environ=environ) as run:
                    await run.says("Eventing server started", 30)
                    await until(lambda: before.counts["StreamingPull"], what=lambda: run.err)
                    assert f"projects/{PROJECT}/subscriptions/orders" in google.subscriptions()
                    before.tokens = set()
                    before.cut()
                    line = await run.says("The event source ended", 30)
                    assert "UNAUTHENTICATED" in str(line)
                    assert await run.stop() == 0
    finally:
        await runner.cleanup()
