"""Conditions of resource templates, ticks of CronWorkflows, what completion leaves to do, and the archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from events.errors import ActionError
from events.kube.memory import MemoryKube
from events.local.workflows import completing, conditions, configuration, cron, data_pod, packing, resource_pod
from events.local.workflows.archive import Archive
from events.local.workflows.artifacts import locations
from events.local.workflows.errors import WorkflowError
from events.local.workflows.throttle import Throttle

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


def test_an_archive_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    path.write_text("this is no database, " * 100)
    with pytest.raises(ActionError, match=f"the archive of workflows {path}: file is not a database"):
        Archive(path).put({"metadata": {"uid": "1", "name": "w"}})
    (tmp_path / "file").touch()
    with pytest.raises(ActionError, match=r"file/archive\.db: .*(Not a directory|File exists)"):
        Archive(tmp_path / "file" / "archive.db").list()


# --- what holds for all Workflows


def test_workflows_wait_for_a_place_by_priority_and_age() -> None:
    limits = {"": 3, "one": 2}
    throttle = Throttle(lambda namespace: limits.get(namespace, 0))
    throttle.restore(["one/r"])
    assert throttle.admits("one/a", 0, "2026-01-01")
    assert not throttle.admits("one/b", 0, "2026-01-02")
    assert not throttle.admits("one/first", 5, "2026-01-03")
    assert throttle.admits("two/c", 0, "2026-01-04")
    assert not throttle.admits("two/d", 9, "2026-01-05")
    assert throttle.released("one/a") == ["two/d"]  # the first of all that fit: three run at once
    assert throttle.released("one/nobody") == []
    assert throttle.released("two/c") == ["one/first"]
    limits |= {"": 0, "one": 0}
    assert throttle.admitted() == ["one/b"]


def test_a_workflow_that_waits_and_is_deleted_leaves_its_turn() -> None:
    throttle = Throttle(lambda _: 1)
    assert throttle.admits("n/a", 0, "1")
    assert not throttle.admits("n/b", 0, "2")
    assert not throttle.admits("n/c", 0, "3")
    assert throttle.released("n/b") == []
    assert throttle.released("n/a") == ["n/c"]


@pytest.mark.parametrize("below", [False, True])
def test_the_configuration_is_that_of_argos_config_map(below: bool) -> None:
    texts = {
        "parallelism": "10",
        "namespaceParallelism": "2",
        "retentionPolicy": "completed: 3\nerrored: 1\n",
        "persistence": "archive: true\narchiveTTL: 180d\n",
        "artifactRepository": "archiveLogs: true\ns3: {bucket: b}\n",
    }
    data = {"config": "".join(_entry(key, text) for key, text in texts.items())} if below else texts
    found = configuration.of({"data": data})
    assert (found.parallelism, found.namespace_parallelism) == (10, 2)
    assert found.retention == {"Succeeded": 3, "Error": 1}
    assert found.archive_seconds == 180 * 86400
    assert found.repository["s3"] == {"bucket": "b"}
    assert configuration.of(None) == configuration.Configuration()


def _entry(key: str, text: str) -> str:
    return f"{key}: {text}\n" if "\n" not in text else f"{key}:\n  " + text.replace("\n", "\n  ").rstrip() + "\n"


@pytest.mark.parametrize(
    "data", [{"parallelism": "many"}, {"persistence": "archiveTTL: soon"}, {"workflowDefaults": "[1]"}]
)
def test_a_wrong_entry_of_the_configuration_is_named(data: dict[str, str]) -> None:
    with pytest.raises(WorkflowError, match=next(iter(data))):
        configuration.of({"data": data})


def test_only_the_last_workflows_of_a_phase_are_kept() -> None:
    several = [run(f"s{number}", "Succeeded", f"2026-01-0{number}T00:00:00Z") for number in (1, 3, 2)]
    several += [run("f", "Failed", "2026-01-01T00:00:00Z"), run("r", "Running")]
    for one in several[:4]:
        one["metadata"]["labels"] = {"workflows.argoproj.io/completed": "true"}
    assert completing.retired(several, {"Succeeded": 1}) == [("s2", "ns"), ("s1", "ns")]
    assert completing.retired(several, {}) == []


def test_the_archive_forgets_what_is_old_and_what_is_too_much(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive.db")
    for number in range(1, 6):
        one = run(f"w{number}", "Succeeded", f"2026-01-0{number}T00:00:00Z")
        one["metadata"]["uid"] = str(number)
        archive.put(one)
    assert archive.sweep(datetime(2026, 1, 3, tzinfo=UTC)) == 2
    assert [one["metadata"]["name"] for one in archive.list()] == ["w5", "w4", "w3"]
    assert archive.sweep(None, most=300) == 1
    assert [one["metadata"]["name"] for one in archive.list()] == ["w5", "w4"]


# --- where artifacts go


@pytest.mark.parametrize(
    ("artifact", "key", "bucket"),
    [
        ({"path": "/a/b"}, "w/p/o.tgz", None),
        ({"path": "/a/b", "archive": {"none": {}}}, "w/p/b", None),
        ({"path": "/a/b", "archive": {"zip": {}}}, "w/p/o.zip", None),
        ({"path": "/a/b", "s3": {"key": "own"}}, "own", None),
        ({"path": "/a/b", "s3": {"key": "own", "bucket": "mine", "endpoint": "http://h:1/"}}, "own", "mine"),
    ],
)
def test_an_output_has_a_key_and_a_bucket(artifact: dict[str, Any], key: str, bucket: str | None) -> None:
    place = locations.archive_location({}, {}, archives_logs=None)
    assert place == {"s3": {"key": "{{workflow.name}}/{{pod.name}}"}, "archiveLogs": False}
    found = locations.of_output({"name": "o", **artifact}, {"s3": {"key": "w/p"}})
    assert (found.key, found.bucket and found.bucket.name) == (key, bucket)
    assert found.bucket is None or found.bucket.endpoint == "h:1"


@pytest.mark.parametrize("kind", ["gcs", "azure", "oss", "hdfs", "plugin"])
def test_other_kinds_of_storage_are_refused_with_the_reason(kind: str) -> None:
    with pytest.raises(WorkflowError, match=f"artifacts of {kind} are not available here; use s3"):
        locations.of_output({"name": "o", "path": "/o"}, {kind: {}})


def test_the_repository_is_that_of_the_reference_or_of_the_annotation() -> None:
    notes = {"annotations": {locations.DEFAULT_KEY: "b"}, "namespace": "ns"}
    maps = {"artifact-repositories": {"metadata": notes, "data": {"a": "s3: {bucket: one}", "b": "s3: {bucket: two}"}}}
    assert locations.repository(None, maps, {})["artifactRepository"] == {"s3": {"bucket": "two"}}
    assert locations.repository({"key": "a"}, maps, {})["key"] == "a"
    assert locations.repository(None, {}, {}) == {}
    assert locations.repository(None, {}, {"s3": {"bucket": "x"}})["default"] is True
    with pytest.raises(WorkflowError, match="no key 'c'"):
        locations.repository({"key": "c"}, maps, {})


def test_a_data_template_says_which_transformation_is_wrong() -> None:
    assert data_pod.transformed(["a"], {"transformation": [{"expression": "len(data)"}]}) == "1"
    with pytest.raises(WorkflowError, match=r"transformation\[1\]"):
        data_pod.transformed([], {"transformation": [{"expression": "data"}, {"expression": "nothing(data)"}]})
