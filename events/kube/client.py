"""The contract of `api` against an API server: raw dicts over HTTP, every call with a deadline."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from events.errors import ActionError
from events.kube import objects
from events.kube.api import KubeApi, KubeError, Object, Resource, WatchEvent
from events.kube.connection import Connection, Link
from events.kube.permissions import refusal

DEADLINE = 30.0
MAX_BODY = 64 * 2**20
"""Bytes of one answer; a list of all objects of a large cluster fits."""
MAX_WATCH_EVENT = 16 * 2**20
_WATCH_SLACK = 10.0
"""Seconds a server may take longer than asked to end a watch."""
_REDISCOVER = 5.0
"""Seconds between two discoveries of one group-version: a kind that is missing may just have been installed."""
_TRIES = 5
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
"""The deadline is kept around the whole call."""
_HEARTBEAT = 30.0
"""Seconds after which a websocket's silent server is asked whether it is there."""
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_AGAIN = (429, 500, 502, 503, 504)


Observe = Callable[[str, str, str], None]
"""Told of every answer: method, HTTP code (`<error>`: there was none), host."""
Guard = Callable[[], None]
"""Asked before every write; what it raises is raised instead."""
Warn = Callable[[str], None]
"""Told what the server warns of beside an answer."""
JSON = "application/json"


async def connect(
    kubeconfig: str | None = None,
    *,
    context: str | None = None,
    deadline: float = DEADLINE,
    observe: Observe | None = None,
    guard: Guard | None = None,
    warn: Warn | None = None,
) -> KubeClient:
    """A client that has read its configuration: `kubeconfig`, else the pod's service account, else ~/.kube/config.

    UserError naming the file when it cannot be used. No request is made.
    """
    client = KubeClient(kubeconfig, context=context, deadline=deadline, observe=observe, guard=guard, warn=warn)
    await client.open()
    return client


class KubeClient(KubeApi):
    """One API server; reads its configuration at the first call, or in `open`."""

    def __init__(
        self,
        kubeconfig: str | None = None,
        *,
        context: str | None = None,
        deadline: float = DEADLINE,
        max_body: int = MAX_BODY,
        observe: Observe | None = None,
        guard: Guard | None = None,
        warn: Warn | None = None,
    ) -> None:
        self._observe, self._guard, self._warn = observe, guard, warn
        self._connection = Connection(kubeconfig, context, deadline=deadline)
        self._deadline, self._max_body = deadline, max_body
        self._kinds: dict[str, dict[str, Resource]] = {}
        self._discovered_at: dict[str, float] = {}
        self._discovering: dict[str, asyncio.Lock] = {}

    async def open(self) -> None:
        """Read the configuration; UserError when it cannot be used."""
        await self._connection.link()

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def resource(self, api_version: str, kind: str) -> Resource:
        return await self._known(api_version, f"kind {kind!r}", lambda one: one.kind == kind)

    async def resource_named(self, api_version: str, plural: str) -> Resource:
        return await self._known(api_version, f"resource {plural!r}", lambda one: one.plural == plural)

    async def _known(self, api_version: str, what: str, is_wanted: Callable[[Resource], bool]) -> Resource:
        def find() -> Resource | None:
            return next((one for one in self._kinds.get(api_version, {}).values() if is_wanted(one)), None)

        found = find()
        if found is None:
            async with self._discovering.setdefault(api_version, asyncio.Lock()):
                if (found := find()) is None:
                    await self._discover(api_version)
            found = found or find()
        if found is None:
            raise KubeError(404, "NotFound", f"no matches for {what} in version {api_version!r}")
        return found

    async def create(self, obj: Object, *, namespace: str | None = None) -> Object:
        resource = await self.resource(*objects.kind_of(obj))
        home = objects.home(obj, namespace)
        if resource.namespaced and home is None:
            raise KubeError(400, "BadRequest", f"{objects.describe(obj)} needs a namespace")
        return await self.call("POST", objects.path(resource, namespace=home), body=obj)

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> Object:
        return await self.call("GET", objects.path(resource, namespace=namespace, name=name))

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Object:
        params = {"labelSelector": label_selector, "fieldSelector": field_selector}
        return await self.call("GET", objects.path(resource, namespace=namespace), params=params)

    async def replace(self, obj: Object, *, namespace: str | None = None, status: bool = False) -> Object:
        resource = await self.resource(*objects.kind_of(obj))
        name = objects.metadata(obj).get("name") or ""
        where = objects.path(resource, namespace=objects.home(obj, namespace), name=name, status=status)
        return await self.call("PUT", where, body=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Any,
        *,
        content_type: str,
        namespace: str | None = None,
        params: Mapping[str, str] | None = None,
        status: bool = False,
    ) -> Object:
        where = objects.path(resource, namespace=namespace, name=name, status=status)
        return await self.call("PATCH", where, params=params, body=body, content_type=content_type)

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, options: Object | None = None
    ) -> Object:
        where = objects.path(resource, namespace=namespace, name=name)
        body = {"apiVersion": "v1", "kind": "DeleteOptions"} | options if options else None
        return await self.call("DELETE", where, body=body)

    async def create_at(
        self, resource: Resource, name: str, subresource: str, body: Object, *, namespace: str
    ) -> Object:
        """POST to a subresource: a token of a service account, the binding of a pod."""
        where = objects.path(resource, namespace=namespace, name=name)
        return await self.call("POST", f"{where}/{subresource}", body=body)

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int = 300,
    ) -> AsyncIterator[WatchEvent]:
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_seconds),
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        async with aclosing(self.watch_at(objects.path(resource, namespace=namespace), params)) as events:
            async for event in events:
                yield event

    async def watch_at(
        self, where: str, params: Mapping[str, str], *, accept: str = JSON
    ) -> AsyncGenerator[WatchEvent, None]:
        """`watch` with a path and parameters of one's own, `timeoutSeconds` among them."""
        seconds = float(params["timeoutSeconds"]) + _WATCH_SLACK
        stream = self.stream(where, params, seconds=seconds, accept=accept)
        async with aclosing(stream), aclosing(_lines(stream)) as lines:
            async for line in lines:
                yield _event(line)

    async def stream(
        self, where: str, params: Mapping[str, str], *, seconds: float | None = None, accept: str = JSON
    ) -> AsyncGenerator[bytes, None]:
        """The body of an answer in pieces, as they come, until it ends; not longer than `seconds`."""
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=self._deadline)
        what = f"GET {(await self._connection.link()).server}{where}{' (watch)' if params.get('watch') else ''}"
        try:
            async with await self._send("GET", where, params, accept=accept, timeout=timeout) as response:
                if response.status >= 400:
                    raise _refusal(response, await self._body(response))
                async for chunk in response.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise _no_answer(what, error) from error

    async def logs(
        self, name: str, *, namespace: str, params: Mapping[str, str], seconds: float | None = None
    ) -> AsyncIterator[bytes]:
        """Lines of a container's log, until it ends or `seconds` are over; `params` are those of the API."""
        rest = b""
        where = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
        async with aclosing(self.stream(where, params, seconds=seconds)) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
        if rest:
            yield rest

    async def socket(self, where: str, protocol: str) -> aiohttp.ClientWebSocketResponse:
        """A websocket with a subprotocol; the caller closes it. KubeError with the server's words when it refuses."""
        link = await self._connection.link()
        what = f"GET {link.server}{where} (websocket)"
        try:
            async with asyncio.timeout(self._deadline):
                opened: aiohttp.ClientWebSocketResponse = await link.session.ws_connect(
                    f"{link.server}{where}",
                    protocols=[protocol],
                    headers={"User-Agent": "keryx", **await link.headers()},
                    heartbeat=_HEARTBEAT,
                    max_msg_size=MAX_WATCH_EVENT,
                    **link.arguments,
                )
                return opened
        except TimeoutError as error:
            raise ActionError(f"{what}: no answer within {self._deadline:g} s") from error
        except aiohttp.WSServerHandshakeError as error:
            refused = KubeError(error.status, "", f"{what}: the server opens no such websocket")
        except (aiohttp.ClientError, OSError) as error:
            raise _no_answer(what, error) from error
        await self.call("GET", where)  # says why: what a handshake is refused with is not to be had
        raise refused

    async def call(
        self,
        method: str,
        where: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Object:
        """The answer to one request, as an object; everything it needs happens within the deadline."""
        data = None if body is None else objects.encoded(body)
        what = f"{method} {(await self._connection.link()).server}{where}"
        try:
            async with asyncio.timeout(self._deadline):
                text = await self._answer(method, where, params or {}, data, content_type, accept)
        except TimeoutError as error:
            raise ActionError(f"{what}: no answer within {self._deadline:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _no_answer(what, error) from error
        try:
            answer = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ActionError(f"{what}: the answer is not JSON: {error}") from error
        if not isinstance(answer, dict):
            raise ActionError(f"{what}: the answer is not an object")
        return answer

    async def _answer(
        self, method: str, where: str, params: Mapping[str, str], data: bytes | None, content_type: str, accept: str
    ) -> bytes:
        """The body of the first answer that is no reason to ask again."""
        loop, tries = asyncio.get_running_loop(), 0
        end = loop.time() + self._deadline
        while True:
            tries += 1
            async with await self._send(method, where, params, data, content_type, accept=accept) as response:
                text = await self._body(response)
            self._told(response)
            if response.status < 300:
                return text
            pause = _pause(response) if method == "GET" and tries < _TRIES else None
            if pause is None or loop.time() + pause >= end:
                raise _refusal(response, text)
            await asyncio.sleep(pause)

    async def _send(
        self,
        method: str,
        where: str,
        params: Mapping[str, str],
        data: bytes | None = None,
        content_type: str = "",
        *,
        accept: str = JSON,
        timeout: aiohttp.ClientTimeout = _NO_TIMEOUT,
    ) -> aiohttp.ClientResponse:
        """The answer's head; credentials that are refused are renewed once."""

        async def request(link: Link) -> aiohttp.ClientResponse:
            headers = {"Accept": accept, "User-Agent": "keryx", **await link.headers()}
            if self._guard is not None and method != "GET":
                self._guard()
            code = "<error>"
            try:
                response = await link.session.request(
                    method,
                    f"{link.server}{where}",
                    params={name: value for name, value in params.items() if value},
                    data=data,
                    headers=headers | {"Content-Type": content_type} if data is not None else headers,
                    allow_redirects=False,  # an API server has none, and credentials go nowhere else
                    timeout=timeout,
                    **link.arguments,
                )
                code = str(response.status)
                return response
            finally:
                if self._observe is not None:
                    self._observe(method, code, urlsplit(link.server).netloc)

        link = await self._connection.link()
        response = await request(link)
        if response.status != 401:
            return response
        async with response:
            refusal = _refusal(response, await self._body(response))
        if not await self._connection.renew(link):
            raise refusal
        return await request(await self._connection.link())

    def _told(self, response: aiohttp.ClientResponse) -> None:
        """Hand on the warnings of an answer: `299 - "text"` each."""
        for header in response.headers.getall("Warning", []) if self._warn is not None else ():
            if (found := _WARNING.match(header)) and self._warn is not None:
                self._warn(re.sub(r"\\(.)", r"\1", found[1]))

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        text = bytearray()
        async for chunk in response.content.iter_any():
            text += chunk
            if len(text) > self._max_body:
                response.close()
                raise ActionError(f"{response.method} {response.url}: the answer is over {self._max_body} bytes")
        return bytes(text)

    async def _discover(self, api_version: str) -> None:
        """Learn the kinds of a group-version, unless somebody just did."""
        now = asyncio.get_running_loop().time()
        if now - self._discovered_at.get(api_version, -60.0) < _REDISCOVER:
            return
        try:
            answer = await self.call("GET", objects.group_path(api_version))
        except KubeError as error:
            if error.status != 404:
                raise
            answer = {}
        self._discovered_at[api_version] = now
        group, _, version = api_version.rpartition("/")
        self._kinds[api_version] = {
            found["kind"]: Resource(group, version, found["name"], found["kind"], namespaced=bool(found["namespaced"]))
            for found in reversed(answer.get("resources") or [])
            if "/" not in found["name"]
        }


async def _lines(content: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The lines of a body; ActionError when one has no end."""
    rest = bytearray()
    async for chunk in content:
        start = len(rest)
        rest += chunk
        while (end := rest.find(b"\n", start)) >= 0:
            if line := bytes(rest[:end]).strip():
                yield line
            del rest[: end + 1]
            start = 0
        if len(rest) > MAX_WATCH_EVENT:
            raise ActionError(f"a watch event is over {MAX_WATCH_EVENT} bytes")
    if rest.strip():
        raise ActionError("the watch broke off in the middle of an event")


def _event(line: bytes) -> WatchEvent:
    try:
        event = orjson.loads(line)
        kind, obj = event["type"], event["object"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ActionError(f"a watch event cannot be read: {error}") from error
    if kind == "ERROR":
        raise _from_status(obj, 500)
    return {"type": kind, "object": obj}


def _pause(response: aiohttp.ClientResponse) -> float | None:
    """Seconds after which the server wants to be asked again, if it says so."""
    text = response.headers.get("Retry-After", "")
    return float(text) if response.status in _AGAIN and text.isdigit() else None


def _refusal(response: aiohttp.ClientResponse, text: bytes) -> KubeError:
    """The error of an answer: its Status object, or what a proxy in between said."""
    try:
        status = orjson.loads(text)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return _from_status(status, response.status)
    said = text[:200].decode("utf-8", "replace").strip()
    return KubeError(response.status, response.reason or "", said or f"{response.method} {response.url.path} refused")


def _from_status(status: Any, code: int) -> KubeError:
    if not isinstance(status, dict):
        return KubeError(code, "", "the API server sent an error without a Status")
    details = status.get("details")
    return refusal(
        status.get("code") or code,
        status.get("reason") or "",
        status.get("message") or "refused",
        details if isinstance(details, dict) else None,
    )


def _no_answer(what: str, error: Exception) -> ActionError:
    why = "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return ActionError(f"{what}: no answer from the API server: {why}")
