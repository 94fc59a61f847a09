"""ssa: who owns which field after updates and server-side applies of one object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from conformance.areas.kubernetes_patches import SCHEMAS, schema
from conformance.core import Case, Outcome, judge

from events.local.apiserver.managed import tracking
from events.local.apiserver.status import StatusError

NOW = datetime(2024, 1, 1, tzinfo=UTC)
"""One time for all: the cases were recorded within a second."""
GO_INTERNALS = ", got "


def run(case: Case) -> Outcome:
    """Compare every step: object, entries, or the refusal with its causes."""
    live: dict[str, Any] | None = None
    steps = []
    for op in case.input["ops"]:
        try:
            live = step(live, op)
        except StatusError as error:
            steps.append(refused(error))
        else:
            entries = live["metadata"].get("managedFields", [])
            steps.append({"ok": True, "object": tracking.without_entries(live), "managedFields": bare(entries)})
    return judge(case, steps, wanted=[comparable(one) for one in case.expect["steps"]])


def step(live: dict[str, Any] | None, op: dict[str, Any]) -> dict[str, Any]:
    given = op["object"]
    version = given["apiVersion"]
    kind = tracking.Kind(given["kind"], {version: schema(given)}, SCHEMAS.resolve)
    writer = tracking.Writer(op["manager"], version, NOW, op.get("subresource", ""))
    if op["op"] == "apply":
        return tracking.apply(live, given, kind, writer, force=op.get("force", False))
    return tracking.update(live, given, kind, writer) if live else tracking.create(given, kind, writer)


def refused(error: StatusError) -> dict[str, Any]:
    """A conflict in full, of other refusals what does not quote the recorder's language."""
    answer: dict[str, Any] = {"ok": False, "error": error.message.partition(GO_INTERNALS)[0]}
    if error.code == 409:
        causes = [
            {"type": one["reason"], "message": one["message"], "field": one["field"]} for one in error.details["causes"]
        ]
        answer |= {"code": 409, "reason": error.reason, "causes": in_order(causes)}
    return answer


def comparable(recorded: dict[str, Any]) -> dict[str, Any]:
    if recorded["ok"]:
        return {**recorded, "managedFields": bare(recorded["managedFields"])}
    answer = {**recorded, "error": recorded["error"].partition(GO_INTERNALS)[0]}
    return answer | {"causes": in_order(recorded["causes"])} if "causes" in recorded else answer


def bare(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without times; entries of equal age have no order."""
    return in_order([{key: value for key, value in entry.items() if key != "time"} for entry in entries])


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: sorted(map(str, row.items())))
