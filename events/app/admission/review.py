"""One AdmissionReview: from the request to allowed or denied, with warnings. Contract: G.4.

Denied is what lint calls an error, and a change of what cannot be changed in an EventBus. What is not found, or cannot
be looked up in time, is a warning: an EventBus may come after its Sensor in the same file (flaw C13).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventbus import validation as bus_validation
from eventbus.types import EventBus
from events import threads
from events.app import verdicts
from events.errors import ActionError, UserError
from events.kube.api import KubeApi, KubeError
from events.problems import Problem
from events.resources import API_VERSION

LOOK_UP_SECONDS = 2.0
CHECK_SECONDS = 6.0
"""For the rules; programs of jq and Lua are compiled in processes of their own."""
MAX_WARNING = 256
"""Characters of one warning: an API server may cut longer ones, and all of them after 4,096."""
MAX_WARNINGS = 16
MAX_DENIAL = 16_000
DEFAULT_BUS = "default"


@dataclass(frozen=True, slots=True)
class Request:
    """The part of an AdmissionRequest that counts."""

    uid: str
    kind: str
    operation: str
    namespace: str
    name: str
    new: dict[str, Any] | None
    old: dict[str, Any] | None

    @classmethod
    def parse(cls, raw: Any) -> Request:
        """From the `request` of a review; UserError when it is none."""
        kind = raw.get("kind") if isinstance(raw, dict) else None
        if not isinstance(kind, dict) or not isinstance(raw.get("uid"), str) or not raw["uid"]:
            raise UserError("the body has no AdmissionReview with a request")
        objects = {key: raw.get(key) for key in ("object", "oldObject")}
        for key, value in objects.items():
            if value is not None and not isinstance(value, dict):
                raise UserError("is not an object", path=f"request.{key}")
        text = {key: str(raw.get(key) or "") for key in ("operation", "namespace", "name")}
        return cls(raw["uid"], str(kind.get("kind") or ""), **text, new=objects["object"], old=objects["oldObject"])


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    denial: str = ""
    """Why it is denied; empty: it is allowed."""
    warnings: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """One word, for the metrics."""
        return "denied" if self.denial else "warned" if self.warnings else "allowed"

    def wire(self, uid: str) -> dict[str, Any]:
        """The `response` of a review."""
        response: dict[str, Any] = {"uid": uid, "allowed": not self.denial}
        if self.denial:
            response["status"] = {
                "status": "Failure",
                "message": _cut(self.denial, MAX_DENIAL),
                "reason": "BadRequest",
                "code": 400,
            }
        if self.warnings:
            response["warnings"] = _shown(self.warnings)
        return response


class Reviewer:
    """Judges requests; never waits longer than the two deadlines together."""

    def __init__(
        self, api: KubeApi, *, look_up_seconds: float = LOOK_UP_SECONDS, check_seconds: float = CHECK_SECONDS
    ) -> None:
        self._api, self._look_up_seconds, self._check_seconds = api, look_up_seconds, check_seconds

    async def review(self, request: Request) -> Answer:
        """Allowed or denied."""
        if request.operation == "DELETE":
            return Answer()
        if request.kind not in verdicts.BY_KIND:
            return Answer(f"unknown kind {request.kind!r}: this webhook knows {', '.join(verdicts.BY_KIND)}")
        if request.operation not in ("CREATE", "UPDATE"):
            return Answer()
        if request.new is None:
            return Answer(f"invalid {request.kind}: the request has no object")
        if request.operation == "UPDATE" and _generation(request.new) == _generation(request.old):
            return Answer()  # metadata, finalizers: what is stored shall never wedge
        try:
            async with asyncio.timeout(self._check_seconds):
                judged = await threads.in_thread(lambda: judge(request), "admission review")
        except TimeoutError:
            return Answer(warnings=[f"{request.kind} was not checked: that took more than {self._check_seconds:g} s"])
        if not judged.denial:
            judged.warnings.extend(await self._bus_is_missing(request))
        return judged

    async def _bus_is_missing(self, request: Request) -> list[str]:
        """A warning when the bus is not there; none of an object that is only changed."""
        if request.kind == "EventBus" or request.operation != "CREATE" or request.new is None:
            return []
        spec = request.new.get("spec")
        name = (spec.get("eventBusName") if isinstance(spec, dict) else None) or DEFAULT_BUS
        try:
            async with asyncio.timeout(self._look_up_seconds):
                resource = await self._api.resource(API_VERSION, "EventBus")
                await self._api.get(resource, str(name), namespace=request.namespace)
        except KubeError as error:
            if error.status == 404:
                return [
                    f"spec.eventBusName: there is no EventBus {name!r} in {request.namespace} yet:"
                    f" the {request.kind} waits for it"
                ]
            return [f"failed to get EventBus eventBusName={name}: {error.reason or error.status}"]
        except (ActionError, TimeoutError) as error:
            return [f"failed to get EventBus eventBusName={name}: {error or 'no answer in time'}"]
        return []


def judge(request: Request) -> Answer:
    """The verdict on the object of a request, by the rules that need nothing else. Blocks."""
    verdict = verdicts.BY_KIND[request.kind](_named(request))
    errors: list[Problem] = list(verdict.errors)
    if request.operation == "UPDATE" and request.kind == "EventBus" and isinstance(verdict.parsed, EventBus):
        errors += _changed(request.old, verdict.parsed)
    denial = f"invalid {request.kind}: {'; '.join(map(str, errors))}" if errors else ""
    return Answer(denial, [str(problem) for problem in verdict.warnings])


def _named(request: Request) -> dict[str, Any]:
    """The object, as lint would see it: a name that the API server makes up later is as good as a name."""
    assert request.new is not None
    metadata = request.new.get("metadata")
    if isinstance(metadata, dict) and not metadata.get("name") and metadata.get("generateName"):
        return request.new | {"metadata": metadata | {"name": request.name or metadata["generateName"]}}
    return request.new


def _changed(old: Mapping[str, Any] | None, new: EventBus) -> list[Problem]:
    try:
        return bus_validation.changes(EventBus.parse(old, lenient=True), new).errors
    except UserError:
        return []  # what was there could not be read either: this is how it is mended


def _generation(obj: Mapping[str, Any] | None) -> Any:
    metadata = (obj or {}).get("metadata")
    return metadata.get("generation") if isinstance(metadata, dict) else None


def _shown(warnings: Iterable[str]) -> list[str]:
    unique = list(dict.fromkeys(_cut(" ".join(one.split()), MAX_WARNING) for one in warnings))
    rest = len(unique) - MAX_WARNINGS
    return unique if rest <= 0 else [*unique[:MAX_WARNINGS], f"and {rest} more: see keryx lint"]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
