"""The recorded cases of the sensor pipeline: what upstream answers, and where we depart from it on purpose."""

from __future__ import annotations

import base64
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.http_target import Received, http_target, redirect, status

from events.credentials import Credentials
from events.errors import KeryxError, ParameterError, UserError
from events.event import Event, utc_text
from events.logs import Log
from sensors import conditions, filters, parameters, policies, types
from sensors.base import Firing, TriggerContext
from sensors.triggers.http import HttpSpec, HttpTrigger

CORPUS = Path(__file__).parents[3] / "shared" / "conformance"

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"recorded cases of upstream are not here: {CORPUS}")

ERROR = "error"
# What we do instead, by case: flaws whose INTENT is another result than upstream's.
FILTERS = {
    "or-dXcT": True,  # F1: an error counts as false for its kind only
    "fmt-frac": ERROR,  # N7: a fraction of a second is not HH:MM:SS
    "fmt-comma-frac": ERROR,
}
PAYLOADS = {"payload-absent": "", "payload-absent-raw": ""}  # R1: an absent value is left out
CONDITIONS_REFUSED = ("N4", "B1")
CONDITIONS_AS_UPSTREAM = ("name-reserved-if",)  # B1, but not a word of the language


def cases(*areas: str, ops: tuple[str, ...] = ()) -> list[Any]:
    found = []
    for area in areas:
        path = CORPUS / f"{area}.jsonl"
        for line in path.read_text().splitlines() if path.exists() else ():
            row = json.loads(line)
            if not ops or row["input"]["op"] in ops:
                found.append(pytest.param(row, id=row["id"]))
    return found


def name_of(case: dict[str, Any]) -> str:
    return str(case["id"]).partition("/")[2]


def event(raw: dict[str, Any]) -> Event:
    data = base64.b64decode(raw["data_base64"]) if "data_base64" in raw else raw.get("data")
    context = dict(raw["context"])
    context["time"] = utc_text(context["time"]) if context.get("time") else ""
    return Event(**context, data=data.encode() if isinstance(data, str) else data)


def events(case: dict[str, Any]) -> dict[str, Event]:
    return {name: event(raw) for name, raw in (case["input"].get("events") or {}).items()}


def outcome(expect: dict[str, Any]) -> Any:
    return expect["value"] if expect.get("ok") else ERROR


@pytest.mark.parametrize("case", cases("filter.data", "filter.context", "filter.time", "filter.combined"))
def test_filters(case: dict[str, Any]) -> None:
    raw, expect = case["input"], case["expect"]
    text = json.dumps(raw["filters"])
    for word in ('"exprs"', '"script"', '"template"'):
        if word in text:
            pytest.skip(f"{word.strip(chr(34))}: a language that is not there yet")
    dependency = types.EventDependency.parse(
        {"name": "d", "filters": raw["filters"], "filtersLogicalOperator": raw.get("filtersLogicalOperator")}
    )
    verdict = filters.compile(dependency).accepts(event(raw["event"]))
    assert verdict.passed or verdict.detail
    got = ERROR if verdict.is_error else verdict.passed
    assert got == FILTERS.get(name_of(case), outcome(expect)), verdict


@pytest.mark.parametrize("case", cases("conditions"))
def test_conditions(case: dict[str, Any]) -> None:
    raw, expect, flaw = case["input"], case["expect"], case.get("flaw")
    if flaw in CONDITIONS_REFUSED and name_of(case) not in CONDITIONS_AS_UPSTREAM:
        expect = {"ok": False}
    if not expect["ok"] and flaw != "N3":
        with pytest.raises(UserError):
            conditions.compile(raw["conditions"], raw["dependencies"])
        return
    condition = conditions.compile(raw["conditions"], raw["dependencies"])
    if flaw == "N3":  # names of built-in functions are names
        assert condition.satisfied_by(set(raw["dependencies"]))
        return
    value = expect["value"]
    assert condition.normalised == value["expression"]
    assert list(condition.dependencies) == value["dependencies"]
    assert condition.is_stateful == (value["mode"] == "stateful")
    for names, fires in value["fires"].items():
        assert condition.satisfied_by(set(names.split(",")) - {""}) is fires, names


def parameter_list(raw: list[Any]) -> list[types.TriggerParameter]:
    return [types.TriggerParameter.parse(one) for one in raw]


def skip_templates(raw: Any) -> None:
    if 'Template"' in json.dumps(raw):
        pytest.skip("Go templates: a language that is not there yet")


@pytest.mark.parametrize("case", cases("parameters", ops=("resolve",)))
def test_resolve(case: dict[str, Any]) -> None:
    skip_templates(case["input"]["src"])
    src = types.TriggerParameterSource.parse(case["input"]["src"])
    try:
        value = parameters.resolve(src, events(case))
    except ParameterError:
        assert not case["expect"]["ok"]
        return
    wanted = outcome(case["expect"])
    if isinstance(value, parameters.Absent):
        assert wanted["value"] is None
    else:
        assert wanted == {"value": value.text, "type": value.kind.value}


@pytest.mark.parametrize("case", cases("parameters", ops=("apply", "payload")))
def test_apply_and_payload(case: dict[str, Any]) -> None:
    raw = case["input"]
    skip_templates(raw["params"])
    compiled = parameters.compile(parameter_list(raw["params"]))
    try:
        if raw["op"] == "apply":
            got = compiled.apply(raw["target"], events(case))
        else:
            got = compiled.payload(events(case)).decode()
    except ParameterError:
        got = ERROR
    wanted = PAYLOADS.get(name_of(case), outcome(case["expect"]))
    assert got == (wanted or ""), got


def slim(value: Any) -> Any:
    """Without what upstream's encoder adds or leaves out: nulls, empty values, zeros and false."""
    if isinstance(value, dict):
        slimmed = {key: slim(one) for key, one in value.items()}
        return {key: one for key, one in slimmed.items() if one not in (None, "", [], {}, 0, False)}
    return [slim(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", cases("parameters", ops=("template",)))
def test_template(case: dict[str, Any]) -> None:
    raw = case["input"]
    skip_templates(raw["params"])
    template = types.TriggerTemplate.parse(raw["template"])
    try:
        changed = parameters.compile(parameter_list(raw["params"])).apply_to_template(template, events(case))
    except ParameterError:
        assert not case["expect"]["ok"]
        return
    assert slim(changed.wire() | changed.kinds) == slim(outcome(case["expect"]))


@pytest.mark.parametrize("case", cases("parameters", ops=("resource",)))
def test_resource(case: dict[str, Any]) -> None:
    raw = case["input"]
    skip_templates(raw["params"])
    text = parameters.compile(parameter_list(raw["params"])).apply(raw["target"], events(case))
    got = json.loads(text)
    if not got.get("kind"):  # the k8s trigger's part: it takes objects only
        assert not case["expect"]["ok"]
        return
    assert got == outcome(case["expect"])


def put_files(root: Path, raw: dict[str, Any]) -> None:
    for folder, key in (("secrets", "secrets"), ("config", "configMaps")):
        for name, entries in (raw.get(key) or {}).items():
            (root / folder / name).mkdir(parents=True)
            for entry, text in entries.items():
                (root / folder / name / entry).write_text(text)


def canonical(request: Received, host: str) -> dict[str, Any]:
    """A request as the corpus has it; `Content-Length: 0` says no more than its absence."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault("-".join(part.capitalize() for part in name.split("-")), []).append(value)
    return {
        "method": request.method,
        "target": request.target,
        "host": (headers.pop("Host", [""])[0]).replace(host, "SERVER"),
        "body": request.body.decode().replace(host, "SERVER"),
        "headers": {name: [v.replace(host, "SERVER") for v in values] for name, values in headers.items()},
    }


def comparable(request: dict[str, Any]) -> dict[str, Any]:
    headers = dict(request["headers"])
    if headers.get("Content-Length") == ["0"]:
        del headers["Content-Length"]
    return request | {"headers": headers}


async def fire(raw: dict[str, Any], context: TriggerContext, firing: Firing) -> None:
    trigger = types.Trigger.parse(raw)
    assert trigger.template is not None
    template = parameters.compile(trigger.parameters).apply_to_template(trigger.template, firing.events)
    spec = HttpSpec.parse(template.kinds["http"])
    http = HttpTrigger(spec, context)
    resource = parameters.compile(spec.parameters).apply(await http.fetch(), firing.events)
    policies.compile(trigger.policy, "http")(await http.execute(resource, firing))


@pytest.mark.parametrize("case", cases("trigger.http"))
async def test_http_trigger(case: dict[str, Any], tmp_path: Path) -> None:
    skip_templates(case["input"]["trigger"])
    async with http_target() as server, aiohttp.ClientSession() as session:
        raw = json.loads(json.dumps(case["input"]).replace("SERVER", server.host))
        put_files(tmp_path, raw)
        first = raw.get("response") or {"status": 200}
        answers = [redirect(first["status"], first["location"]) if "location" in first else status(first["status"])]
        server.answer = lambda _request: answers.pop() if answers else status(200)
        context = TriggerContext(
            namespace="ns",
            sensor_name="sensor",
            trigger_name="t",
            log=Log("test"),
            secrets=Credentials([tmp_path]),
            kube=None,  # type: ignore[arg-type]
            http=lambda: session,
        )
        firing = Firing("1", {name: event(one) for name, one in (raw.get("events") or {}).items()})
        error: KeryxError | None = None
        try:
            await fire(raw["trigger"], context, firing)
        except KeryxError as failure:
            error = failure
        expect = case["expect"]
        got = [canonical(request, server.host) for request in server.received]
    if "panic" in expect:  # R1: the absent value is left out
        assert error is None
        assert [(one["body"], one["headers"].get("X-D")) for one in got] == [("", None)]
        return
    assert (error is None) == expect["ok"], error
    wanted = expect["value"]["requests"] or []
    agent = "me/1" if name_of(case) == "header-ua" else f"keryx/{metadata.version('keryx')}"
    for one in got:
        assert one["headers"].pop("User-Agent") == [agent]
    for one in wanted:
        one["headers"].pop("User-Agent", None)
    assert [comparable(one) for one in got] == [comparable(one) for one in wanted]
