"""The webhook of a case: HTTPS on the loopback with a throw-away certificate, answers as the case says."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from events.local.apiserver.access.certificates import Authority


class Webhooks:
    """One server for all cases: `/<case>/<name>`."""

    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        authority = Authority(directory, now)
        pair = authority.issue("hook", (), now, names=("127.0.0.1",))
        files = [directory / "hook.crt", directory / "hook.key"]
        for file, content in zip(files, (pair.pem, pair.key_pem), strict=True):
            file.write_bytes(content)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*files)
        self.authority = base64.b64encode(authority.pem).decode()
        self._answers: dict[str, Any] = {}
        self._calls: dict[str, list[Any]] = {}

    async def start(self) -> None:
        """On a free port."""
        self._runner = web.ServerRunner(web.Server(self._serve))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    def of(self, case: str, answers: Any) -> dict[str, str]:
        """What a case knows of its webhook."""
        self._answers[case] = answers or {}
        return {"url": f"https://127.0.0.1:{self._port}/{case}", "ca": self.authority}

    def calls(self, case: str) -> list[Any]:
        """AdmissionReviews since the last time."""
        return self._calls.pop(case, [])

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        case, _, name = request.path.strip("/").partition("/")
        review = orjson.loads(await request.read())
        self._calls.setdefault(case, []).append(review)
        answer = self._answers.get(case, {}).get(name)
        if answer is None:
            return web.Response(status=404)
        if "raw" in answer:
            return web.Response(text=answer["raw"], content_type="application/json")
        if "status" in answer:
            return web.Response(status=answer["status"], text=answer.get("text", ""))
        response = {**answer.get("response", {}), "uid": review["request"]["uid"]}
        if "patchOps" in answer:
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(answer["patchOps"])).decode()}
        body = {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}
        return web.json_response(body)
