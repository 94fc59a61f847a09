"""HTTP templates: one request, and what becomes of its node. Contract: workflows B.4."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from events.local.workflows import expressions, phases
from events.local.workflows.errors import WorkflowError

Object = dict[str, Any]
SecretValue = Callable[[str, str], Awaitable[str]]
"""The value at a key of a secret: (name, key)."""
DEADLINE = 600.0
"""Seconds that a request without timeoutSeconds may take; ours."""
MOST = 8 * 1024 * 1024
_NO_PLUGIN = "no plugin executed the template (executor plugins are not available here)"


async def ask(session: aiohttp.ClientSession, template: Mapping[str, Any], secret: SecretValue) -> Object:
    """Phase, message and outputs of the node. Never raises for what the other side does."""
    if template.get("plugin") is not None:
        return {"phase": phases.FAILED, "message": _NO_PLUGIN, "outputs": {}}
    wanted = template["http"]
    try:
        async with _deadline(wanted):
            request = await _request(wanted, secret)
            async with session.request(**request) as response:
                body = await response.content.read(MOST)
                return _judged(wanted, request, response, body)
    except TimeoutError:
        return _failed("the request took too long")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return _failed(f"{wanted.get('url')}: {error}")
    except WorkflowError as error:
        return _failed(error.message)


def _deadline(wanted: Mapping[str, Any]) -> Any:
    seconds = wanted.get("timeoutSeconds")
    return asyncio.timeout(float(seconds) if seconds not in (None, "") else DEADLINE)


def _failed(message: str) -> Object:
    return {"phase": phases.FAILED, "message": message, "outputs": {}}


async def _request(wanted: Mapping[str, Any], secret: SecretValue) -> Object:
    headers = []
    for one in wanted.get("headers") or ():
        source = (one.get("valueFrom") or {}).get("secretKeyRef")
        value = await secret(source["name"], source["key"]) if source else str(one.get("value", ""))
        headers.append((str(one["name"]), value))
    data: Any = wanted.get("body") or None
    raw = (wanted.get("bodyFrom") or {}).get("bytes")
    if raw is not None:
        data = base64.b64decode(raw)
    return {
        "method": wanted.get("method") or "GET",
        "url": wanted.get("url") or "",
        "headers": headers,
        "data": data,
        "ssl": not wanted.get("insecureSkipVerify"),
    }


def _judged(wanted: Mapping[str, Any], request: Object, response: aiohttp.ClientResponse, body: bytes) -> Object:
    text = body.decode(errors="replace")
    outputs = {"result": text}
    condition = wanted.get("successCondition")
    if not condition:
        if 200 <= response.status < 300:
            return {"phase": phases.SUCCEEDED, "message": "", "outputs": outputs}
        message = f"received non-2xx response code: {response.status}"
        return {"phase": phases.FAILED, "message": message, "outputs": outputs}
    variables = {
        **expressions.environment({}),
        "request": {
            "method": request["method"],
            "url": request["url"],
            "body": request["data"] if isinstance(request["data"], str) else "",
            "headers": _listed(request["headers"]),
        },
        "response": {"statusCode": response.status, "body": text, "headers": _listed(response.headers.items())},
    }
    if expressions.evaluate(condition, variables) is True:
        return {"phase": phases.SUCCEEDED, "message": "", "outputs": outputs}
    message = f"successCondition '{condition}' evaluated false"
    return {"phase": phases.FAILED, "message": message, "outputs": outputs}


def _listed(headers: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(str(name), []).append(str(value))
    return found
