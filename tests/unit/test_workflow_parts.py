"""Conditions of resource templates, ticks of CronWorkflows, what completion leaves to do, and the archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from events.kube.memory import MemoryKube
from events.local.workflows import completing, conditions, cron, packing, resource_pod
from events.local.workflows.archive import Archive
from events.local.workflows.errors import WorkflowError

NOW = datetime(2026, 1, 2, 10, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status.phase == Succeeded", True),
        ("status.phase=Failed", False),
        ("status.succeeded > 1, status.phase != Failed", True),
        ("status.conditions.0.type in (Ready, Complete)", True),
        ("status.missing", False),
        ("!status.missing", True),
        ("status.phase notin (Failed)", True),
    ],
)
def test_conditions_are_selectors_over_paths(text: str, holds: bool) -> None:
    obj = {"status": {"phase": "Succeeded", "succeeded": 2, "conditions": [{"type": "Complete"}]}}
    assert bool(conditions.judged(obj, text, "")) == holds


def test_a_failure_condition_is_named() -> None:
    with pytest.raises(WorkflowError, match=r"failure condition 'status.failed > 3' evaluated true"):
        conditions.judged({"status": {"failed": 4}}, "", "status.failed > 3")


async def test_a_resource_is_created_waited_for_and_read(tmp_path: Path) -> None:
    api = MemoryKube()
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {k: v}\n"
    plan = {
        "namespace": "ns",
        "owner": {"name": "w"},
        "inputs": {},
        "resource": {
            "action": "create",
            "manifest": manifest,
            "setOwnerReference": True,
            "successCondition": "data.k == v",
        },
    }
    found = await resource_pod.act(api, plan, pause=0.01)
    outputs = {
        "parameters": [
            {"name": "p", "valueFrom": {"jsonPath": "{.data.k}!"}},
            {"name": "q", "valueFrom": {"jqFilter": ".metadata.name"}},
        ]
    }
    await resource_pod.save(outputs, found, tmp_path)
    assert (tmp_path / "parameters" / "p").read_text() == "v!"
    assert (tmp_path / "parameters" / "q").read_text() == "made"
    assert found is not None
    assert found["metadata"]["ownerReferences"] == [{"name": "w"}]


def cron_workflow(**spec: Any) -> dict[str, Any]:
    given = {"schedules": ["* * * * *"], "timezone": "UTC", "workflowSpec": {"entrypoint": "main"}, **spec}
    meta = {"name": "c", "namespace": "ns", "uid": "u", "creationTimestamp": "2026-01-02T09:00:00Z"}
    return {"metadata": {**meta, "annotations": {cron.LAST_USED: "CRON_TZ=UTC * * * * *"}}, "spec": given}


def run(name: str, phase: str, finished: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns"}, "status": {"phase": phase, "finishedAt": finished}}


def test_a_tick_makes_one_workflow_with_the_time_in_its_name() -> None:
    tick = cron.look(cron_workflow(), [], NOW)
    assert tick.create is not None
    assert tick.create["metadata"]["name"] == "c-1767348000"
    assert tick.create["metadata"]["annotations"]["workflows.argoproj.io/scheduled-time"] == "2026-01-02T10:00:00Z"
    again = cron.look(tick.cron, [], NOW + timedelta(seconds=1))
    assert again.create is None
    assert again.look_again == pytest.approx(54.01)


@pytest.mark.parametrize(
    ("policy", "creates", "ends"), [("Allow", True, []), ("Forbid", False, []), ("Replace", True, ["c-1"])]
)
def test_concurrency_decides_beside_a_run_that_has_not_ended(policy: str, creates: bool, ends: list[str]) -> None:
    tick = cron.look(cron_workflow(concurrencyPolicy=policy), [run("c-1", "Running")], NOW)
    assert (tick.create is not None, tick.terminate) == (creates, ends)


def test_a_missed_run_is_made_up_only_within_the_deadline() -> None:
    late = cron_workflow(schedules=["0 9 * * *"])
    late["metadata"]["annotations"][cron.LAST_USED] = "CRON_TZ=UTC 0 9 * * *"
    late["status"] = {"lastScheduledTime": "2026-01-01T09:00:00Z"}
    assert cron.look(late, [], NOW).create is None
    late["spec"]["startingDeadlineSeconds"] = 7200
    assert cron.look(late, [], NOW).create is not None


def test_old_runs_go_beyond_the_limits_of_the_history() -> None:
    runs = [run(f"c-{number}", "Succeeded", f"2026-01-02T09:0{number}:00Z") for number in range(5)]
    assert sorted(cron.look(cron_workflow(), runs, NOW).delete) == ["c-0", "c-1"]


def test_a_stop_strategy_ends_it_for_good() -> None:
    obj = cron_workflow(stopStrategy={"expression": "cronworkflow.failed >= 1"})
    obj["status"] = {"active": [{"name": "c-1"}]}
    tick = cron.look(obj, [run("c-1", "Failed")], NOW)
    assert tick.create is None
    assert tick.cron["status"]["phase"] == "Stopped"


def test_when_may_refuse_a_run() -> None:
    assert cron.look(cron_workflow(when="{{= cronworkflow.failed > 0 }}"), [], NOW).create is None
    assert cron.look(cron_workflow(when="{{= cronworkflow.failed == 0 }}"), [], NOW).create is not None


@pytest.mark.parametrize(
    ("phase", "strategy", "seconds"),
    [
        ("Succeeded", {"secondsAfterSuccess": 5, "secondsAfterCompletion": 9}, 5),
        ("Failed", {"secondsAfterSuccess": 5}, None),
        ("Error", {"secondsAfterFailure": 5, "secondsAfterCompletion": 9}, 9),
    ],
)
def test_the_time_to_live_follows_the_phase(phase: str, strategy: dict[str, int], seconds: int | None) -> None:
    obj = {
        "metadata": {},
        "spec": {"ttlStrategy": strategy},
        "status": {"phase": phase, "finishedAt": "2026-01-02T10:00:00Z"},
    }
    due = completing.expires(obj)
    assert due == (None if seconds is None else datetime(2026, 1, 2, 10, 0, seconds, tzinfo=UTC))


def test_large_trees_are_packed_and_come_back() -> None:
    nodes = {f"w-{number}": {"id": f"w-{number}", "message": "x" * 200} for number in range(6000)}
    obj = {"metadata": {"name": "w"}, "status": {"phase": "Running", "nodes": nodes}}
    stored = packing.packed(obj)
    assert "nodes" not in stored["status"]
    assert packing.unpacked(stored) == obj


def test_the_archive_keeps_the_last_state_of_a_workflow(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "deep" / "archive.db")
    one = {"metadata": {"uid": "1", "namespace": "ns", "name": "w"}, "status": {"phase": "Failed", "finishedAt": "a"}}
    archive.put(one)
    archive.put({**one, "status": {"phase": "Succeeded", "finishedAt": "b"}})
    assert [found["status"]["phase"] for found in archive.list("ns")] == ["Succeeded"]
    assert archive.list("other") == []
    assert archive.find("ns", "w") == archive.get("1")
    assert archive.delete("1")
    assert archive.get("1") is None
