"""The steps of a recorded exchange, done again on our server."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from conformance.core import Case
from conformance.kubernetes.hooks import Webhooks
from yarl import URL

_SAFE = "-_.~=&%,!()'+:*@/;"
_WATCH = re.compile(r"(^|&)watch(=(1|true|TRUE|True)|$|&)")
_REFERENCE = re.compile(r"\{\{([^:}]+):([^}]+)\}\}")
_HEADERS = ("Allow", "Location", "Retry-After", "WWW-Authenticate")
_PATIENCE, _SETTLE = 12.0, 0.25
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_MADE_BY = {"User-Agent": "unknown"}

Step = dict[str, Any]
Answer = dict[str, Any]


@dataclass
class Clients:
    """The administrator, and somebody without a certificate."""

    url: str
    admin: aiohttp.ClientSession
    other: aiohttp.ClientSession
    hooks: Webhooks


@dataclass
class Watch:
    """A watch that stays open."""

    response: aiohttp.ClientResponse
    events: list[Any] = field(default_factory=list)
    read: int = 0
    task: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        async for line in self.response.content:
            if line.strip():
                self.events.append(json.loads(line))


class Exchange:
    """One case."""

    def __init__(self, case: Case, clients: Clients) -> None:
        self._case, self._clients = case, clients
        self._id = case.id.replace("/", "-")
        self._saved: dict[str, Any] = {"webhook": clients.hooks.of(self._id, case.input.get("webhook"))}
        self._watches: dict[str, Watch] = {}
        self._keeps_bookmarks = case.id.endswith("bookmarks-only")

    async def run(self) -> list[Answer]:
        """The answers to all steps."""
        try:
            await self._prepare()
            return [await self._step(step) for step in self._case.input["steps"]]
        finally:
            for watch in self._watches.values():
                if watch.task is not None:
                    watch.task.cancel()
                watch.response.close()
            await self._clean()

    # -- before and after

    async def _prepare(self) -> None:
        given, admin = self._case.input, self._clients.admin
        for definition in given.get("crds", ()):
            async with admin.post(_DEFINITIONS, json=definition, headers=_MADE_BY) as answer:
                assert answer.status == 201, await answer.text()
            spec = definition["spec"]
            for version in spec["versions"]:
                if version.get("served", True):
                    await self._there(f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}")
        if "namespace" in given:
            name = given["namespace"]
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            async with admin.post("/api/v1/namespaces", json=body, headers=_MADE_BY) as answer:
                assert answer.status == 201, await answer.text()
            for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
                await self._there(f"/api/v1/namespaces/{name}/{path}")

    async def _there(self, path: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            async with self._clients.admin.get(path) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{path} is not served")

    async def _clean(self) -> None:
        given, admin = self._case.input, self._clients.admin
        paths = [f"{_DEFINITIONS}/{one['metadata']['name']}" for one in given.get("crds", ())]
        if "namespace" in given:
            paths.insert(0, f"/api/v1/namespaces/{given['namespace']}")
        for path in paths:
            async with admin.delete(path):
                pass

    # -- steps

    async def _step(self, step: Step) -> Answer:
        if "pause" in step:
            await asyncio.sleep(step["pause"])
            return {}
        if "webhookCalls" in step:
            await asyncio.sleep(0.1)
            return {"calls": self._clients.hooks.calls(self._id)}
        if "events" in step:
            return await self._of_watch(self._watches[step["events"]], step["count"])
        until = step.get("until")
        return await self._repeated(step, until) if until else (await self._request(step))[0]

    async def _of_watch(self, watch: Watch, count: int) -> Answer:
        deadline = time.monotonic() + 30
        while len(self._shown(watch.events)) < watch.read + count and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.sleep(_SETTLE)
        events = self._shown(watch.events)
        found, watch.read = events[watch.read :], len(events)
        return {"events": found}

    async def _repeated(self, step: Step, until: dict[str, Any]) -> Answer:
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer, raw = await self._request(step)
            is_done = answer["status"] == until.get("status", answer["status"])
            is_done = is_done and until.get("contains", "") in json.dumps(raw)
            if "pointer" in until:
                is_done = is_done and pointed(raw, until["pointer"]) == until.get("equals")
            if is_done or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(0.05)

    async def _request(self, step: Step) -> tuple[Answer, Any]:
        response = await self._send(step)
        answer: Answer = {"status": response.status, "contentType": _media(response.headers.get("Content-Type", ""))}
        if warnings := response.headers.getall("Warning", []):
            answer["warnings"] = warnings
        headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
        if headers:
            answer["headers"] = headers
        if isinstance(step.get("watch"), str) and response.status == 200:
            watch = self._watches[step["watch"]] = Watch(response)
            watch.task = asyncio.create_task(watch.listen())
            return answer, None
        text = (await response.read()).decode(errors="replace")
        response.release()
        if _is_watch(step) and response.status == 200:
            events = [json.loads(line) for line in text.splitlines() if line.strip()]
            return {**answer, "events": self._shown(events)}, None
        return self._with_body(step, answer, text)

    def _with_body(self, step: Step, answer: Answer, text: str) -> tuple[Answer, Any]:
        try:
            raw = json.loads(text)
        except ValueError:
            return ({**answer, "text": text} if text else answer), text
        if step.get("save"):
            self._saved[step["save"]] = raw
        body = _without_authorities(raw)
        if "pick" in step:
            body = {pointer: pointed(body, pointer) for pointer in step["pick"]}
        if "only" in step and answer["status"] == 200:
            _reduce_in_place(body, step["only"])
        return {**answer, "body": body}, raw

    async def _send(self, step: Step) -> aiohttp.ClientResponse:
        headers: dict[str, str | None] = {"Accept": "application/json", "User-Agent": "rec"}
        headers |= self._filled(step.get("headers") or {})
        session = self._clients.other if step.get("anonymous") or "token" in step else self._clients.admin
        if "token" in step:
            headers["Authorization"] = f"Bearer {self._filled(step['token'])}"
        path = urllib.parse.quote(self._filled(step["path"]), safe=_SAFE)
        query = urllib.parse.quote(self._filled(step.get("query") or ""), safe=_SAFE)
        body: bytes | None = None
        if "bodyText" in step:
            body = self._filled(step["bodyText"]).encode()
        elif "body" in step:
            body = json.dumps(self._filled(step["body"])).encode()
        return await session.request(
            step["method"],
            URL(f"{self._clients.url}{path}{'?' if query else ''}{query}", encoded=True),
            headers={name: value for name, value in headers.items() if value is not None},
            data=body,
            allow_redirects=False,
            skip_auto_headers=["Content-Type", "User-Agent", "Accept"],
        )

    def _filled(self, value: Any) -> Any:
        """References to saved answers resolved, repetitions written out."""
        if isinstance(value, str):
            return _REFERENCE.sub(lambda found: str(pointed(self._saved[found[1]], found[2])), value)
        if isinstance(value, dict):
            if "$repeat" in value:
                return [self._filled(value["item"])] * value["$repeat"]
            return {self._filled(key): self._filled(one) for key, one in value.items()}
        return [self._filled(one) for one in value] if isinstance(value, list) else value

    def _shown(self, events: list[Any]) -> list[Any]:
        if self._keeps_bookmarks:  # at least one: further ones say nothing new
            return events[:1]
        end = "k8s.io/initial-events-end"
        return [one for one in events if one.get("type") != "BOOKMARK" or end in json.dumps(one)]


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON pointer points at; None when it is not there."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)] if key.isdigit() and int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _media(content_type: str) -> str:
    return content_type.partition(";")[0]


def _is_watch(step: Step) -> bool:
    return "/watch/" in step["path"] or _WATCH.search(step.get("query") or "") is not None


def _without_authorities(body: Any) -> Any:
    """Lists and tables without the ConfigMaps that every namespace has."""
    for key, name in (("items", ("metadata",)), ("rows", ("object", "metadata"))):
        if isinstance(body, dict) and isinstance(body.get(key), list):
            body[key] = [one for one in body[key] if _at(one, (*name, "name")) != "kube-root-ca.crt"]
    return body


def _at(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _reduce_in_place(body: Any, only: dict[str, Any]) -> None:
    parent, _, last = only["list"].rpartition("/")
    holder = pointed(body, parent) if parent else body
    holder[last] = [one for one in holder.get(last) or () if pointed(one, only["key"]) in only["values"]]
