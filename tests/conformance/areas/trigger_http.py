"""trigger.http: the requests that an http trigger sends, over a socket, and what becomes of its firing."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from conformance.core import AS_UPSTREAM, Case, Outcome, events, judge, recorded
from support.http_target import Received, http_target, redirect, status

from events.credentials import Credentials
from events.errors import KeryxError
from events.logs import Log
from events.metrics import Metrics
from events.version import VERSION
from sensors import types
from sensors.base import Firing, TriggerContext
from sensors.decision import Outcome as End
from sensors.firing import Action

OWN_AGENT = f"keryx/{VERSION}"


def run(case: Case) -> Outcome:
    """Compare the requests and whether the firing counts as done; the User-Agent is our own."""
    got = asyncio.run(fire(case))
    return judge(case, got, INTENTS, wanted=wanted(case))


def wanted(case: Case) -> Any:
    """Upstream's requests, also those sent before an error; its library's name becomes ours."""
    if "panic" in case.expect:
        return recorded(case)
    requests = (case.expect.get("value") or {}).get("requests") or []
    return {"done": case.expect["ok"], "requests": [comparable(one) for one in requests]}


def comparable(request: dict[str, Any]) -> dict[str, Any]:
    """A request without what says nothing: `Content-Length: 0`, and the name of upstream's HTTP library."""
    headers = dict(request["headers"])
    if headers.get("Content-Length") == ["0"]:
        del headers["Content-Length"]
    if headers.get("User-Agent") in ([OWN_AGENT], None) or headers["User-Agent"][0].startswith("Go-http-client"):
        headers.pop("User-Agent", None)
    return request | {"headers": headers}


def canonical(request: Received, host: str) -> dict[str, Any]:
    """A request as the corpus has it."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault("-".join(part.capitalize() for part in name.split("-")), []).append(value)
    return {
        "method": request.method,
        "target": request.target,
        "host": headers.pop("Host", [""])[0].replace(host, "SERVER"),
        "body": request.body.decode().replace(host, "SERVER"),
        "headers": {name: [value.replace(host, "SERVER") for value in values] for name, values in headers.items()},
    }


async def fire(case: Case) -> Any:
    """What the target received, and whether the firing ended well."""
    with tempfile.TemporaryDirectory() as folder:
        async with http_target() as server, aiohttp.ClientSession() as session:
            given = json.loads(json.dumps(case.input).replace("SERVER", server.host))
            put_files(Path(folder), given)
            first = given.get("response") or {"status": 200}
            answers = [redirect(first["status"], first["location"]) if "location" in first else status(first["status"])]
            server.answer = lambda _request: answers.pop() if answers else status(200)
            context = TriggerContext(
                namespace="ns",
                sensor_name="sensor",
                trigger_name="t",
                log=Log("conformance"),
                secrets=Credentials([Path(folder)]),
                kube=None,  # type: ignore[arg-type]
                http=lambda: session,
            )
            end = await carried_out(types.Trigger.parse(given["trigger"]), context, Firing("1", events(case)))
            requests = [comparable(canonical(request, server.host)) for request in server.received]
    return {"done": not end, "requests": requests}


async def carried_out(trigger: types.Trigger, context: TriggerContext, firing: Firing) -> str:
    """Why the firing failed, or nothing."""
    try:
        action = Action(trigger, context, Metrics())
        try:
            decision = await action.carry_out(firing)
        finally:
            await action.aclose()
    except KeryxError as error:
        return str(error) or "failed"
    return "" if decision.outcome is End.FIRED else decision.detail or "failed"


def put_files(root: Path, given: dict[str, Any]) -> None:
    for folder, key in (("secrets", "secrets"), ("config", "configMaps")):
        for name, entries in (given.get(key) or {}).items():
            (root / folder / name).mkdir(parents=True)
            for entry, content in entries.items():
                (root / folder / name / entry).write_text(content)


def without_absent(case: Case) -> Any:
    """R1: what upstream would have sent had the parameters without an event not been there."""
    http = case.input["trigger"]["template"]["http"]
    kept = {
        key: [one for one in http[key] if one["src"]["dependencyName"] in case.input["events"]]
        for key in ("payload", "dynamicHeaders")
        if key in http
    }
    template = case.input["trigger"]["template"] | {"http": http | kept}
    trigger = case.input["trigger"] | {"template": template}
    return asyncio.run(fire(Case(case.id, case.area, case.input | {"trigger": trigger}, case.expect)))


INTENTS = {"R1": without_absent, "X10": lambda _case: AS_UPSTREAM}
