"""The rules of the workload controllers: rollouts, jobs, schedules, endpoints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import cron
from events.local.workloads import cron_jobs, deployments, endpoints, jobs, proxy, rollouts, stateful_sets
from events.local.workloads.rollouts import Limits, Part

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("strategy", "replicas", "expected"),
    [
        ({}, 4, Limits(1, 1)),
        ({}, 1, Limits(1, 0)),
        ({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}, 3, Limits(0, 1)),
        ({"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 2}}, 3, Limits(2, 2)),
    ],
)
def test_limits_of_a_rollout(strategy: dict[str, Any], replicas: int, expected: Limits) -> None:
    assert rollouts.limits(strategy, replicas) == expected


@given(
    replicas=st.integers(0, 12),
    old=st.lists(st.integers(0, 12), max_size=3),
    surge=st.integers(0, 4),
    unavailable=st.integers(0, 4),
)
def test_a_rollout_ends_and_keeps_its_limits_on_the_way(
    replicas: int, old: list[int], surge: int, unavailable: int
) -> None:
    most = Limits(surge, min(unavailable, replicas) if replicas else unavailable)
    if not surge and not unavailable:
        most = Limits(0, 1)
    new, former, total = 0, list(old), sum(old)
    for _ in range(100):
        parts = [Part(size, size, size) for size in former]
        grown, sizes = rollouts.rolled(replicas, Part(new, new, new), parts, most)
        assert grown + sum(former) <= max(replicas + most.surge, total), "never more at once"
        assert new + sum(sizes) >= min(replicas - most.unavailable, new + sum(former)), "never too few"
        if (grown, sizes) == (new, former):
            break
        new, former = grown, sizes
        total = new + sum(former)
    assert (new, sum(former)) == (replicas, 0)


def test_pods_that_do_not_work_go_first() -> None:
    grown, sizes = rollouts.rolled(3, Part(0, 0, 0), [Part(1, 1, 0), Part(2, 2, 2)], Limits(0, 1))
    assert (grown, sizes) == (0, [0, 2])


def deployment(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 2}, "spec": {"replicas": 2, "progressDeadlineSeconds": 10}, "status": status}


def test_a_rollout_that_stands_still_is_told_after_its_deadline() -> None:
    sets = {"metadata": {"name": "web-1"}, "status": {"replicas": 1}}
    first = deployments.status_of(deployment(), sets, [], NOW)
    progress = next(one for one in first["conditions"] if one["type"] == "Progressing")
    assert (progress["status"], progress["reason"]) == ("True", "ReplicaSetUpdated")
    later = deployments.status_of(deployment(**first), sets, [], NOW + timedelta(seconds=11))
    progress = next(one for one in later["conditions"] if one["type"] == "Progressing")
    assert (progress["status"], progress["reason"]) == ("False", "ProgressDeadlineExceeded")
    done = {"metadata": {"name": "web-1"}, "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}}
    found = deployments.status_of(deployment(**later), done, [], NOW + timedelta(seconds=12))
    assert {one["type"]: one["status"] for one in found["conditions"]} == {"Available": "True", "Progressing": "True"}


def test_a_deployment_says_why_its_pods_cannot_be_made() -> None:
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no such account"}
    sets = {"metadata": {"name": "web-1"}, "status": {"replicas": 0, "conditions": [failed]}}
    found = deployments.status_of(deployment(), sets, [], NOW)
    [told] = [one for one in found["conditions"] if one["type"] == "ReplicaFailure"]
    assert (told["status"], told["reason"], told["message"]) == ("True", "FailedCreate", "no such account")
    done = {"metadata": {"name": "web-1"}, "status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}}
    after = deployments.status_of(deployment(**found), done, [], NOW)
    assert "ReplicaFailure" not in [one["type"] for one in after["conditions"]]


def pod(phase: str, index: int | None = None, *, ready: bool = False, disrupted: bool = False) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T12:00:00Z"}] if ready else []
    conditions += [{"type": "DisruptionTarget", "status": "True"}] if disrupted else []
    labels = {} if index is None else {"batch.kubernetes.io/job-completion-index": str(index)}
    names = {"labels": labels, "creationTimestamp": "2026-11-21T11:59:50Z", "name": "p", "namespace": "n", "uid": "u"}
    return {"metadata": names, "spec": {"containers": []}, "status": {"phase": phase, "conditions": conditions}}


@pytest.mark.parametrize(
    ("spec", "pods", "verdict"),
    [
        ({"completions": 2}, ["Succeeded"], None),
        ({"completions": 2}, ["Succeeded", "Succeeded"], "Complete"),
        ({"parallelism": 2}, ["Succeeded", "Running"], None),
        ({"parallelism": 2}, ["Succeeded", "Failed"], "Complete"),
        ({"completions": 1, "backoffLimit": 1}, ["Failed"], None),
        ({"completions": 1, "backoffLimit": 1}, ["Failed", "Failed"], "Failed"),
    ],
)
def test_when_a_job_is_over(spec: dict[str, Any], pods: list[str], verdict: str | None) -> None:
    found = jobs.judged({"spec": spec}, [pod(one) for one in pods], NOW)
    assert (found and found["type"]) == verdict


def test_a_pod_that_ended_with_the_node_is_no_failure_of_its_job() -> None:
    it = {"spec": {"completions": 1, "backoffLimit": 0}}
    assert jobs.judged(it, [pod("Failed", disrupted=True)], NOW) is None
    assert jobs.pause_left([pod("Failed", disrupted=True)], NOW, 10) == 0
    assert jobs.pause_left([pod("Failed")], NOW, 15) == 5


def test_an_indexed_job_makes_the_indexes_that_are_missing() -> None:
    spec = {"completions": 4, "parallelism": 2, "completionMode": "Indexed"}
    pods = [pod("Succeeded", 0), pod("Running", 2), pod("Failed", 1)]
    assert jobs.missing({"spec": spec}, pods) == [1]


def test_a_schedule_is_followed_once_for_each_moment() -> None:
    schedule = cron.parse("*/5 * * * *", None, default=UTC)
    it: dict[str, Any] = {"metadata": {"name": "c", "creationTimestamp": "2026-11-21T11:58:00Z"}, "spec": {}}
    assert cron_jobs.due_at(it, schedule, NOW) == NOW
    assert cron_jobs.due_at(it | {"status": {"lastScheduleTime": "2026-11-21T12:00:00Z"}}, schedule, NOW) is None
    late = it | {"spec": {"startingDeadlineSeconds": 30}}
    assert cron_jobs.due_at(late, schedule, NOW + timedelta(seconds=60)) is None


def test_endpoints_name_ready_pods_and_the_others() -> None:
    service = {
        "metadata": {"name": "web", "namespace": "n", "uid": "u"},
        "spec": {
            "selector": {},
            "clusterIP": "127.96.0.1",
            "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30000}],
        },
    }
    ready, waiting = pod("Running", ready=True), pod("Running")
    ready["status"]["podIP"], waiting["status"]["podIP"] = "127.64.0.2", "127.64.0.3"
    subset = endpoints.endpoints_of(service, [ready, waiting])["subsets"][0]
    assert [one["ip"] for one in subset["addresses"]] == ["127.64.0.2"]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == ["127.64.0.3"]
    found = endpoints.slice_of(service, [ready, waiting])
    assert [one["conditions"]["ready"] for one in found["endpoints"]] == [True, False]
    service["spec"]["selector"] = {"a": "b"}
    for one in (ready, waiting):
        one["metadata"]["labels"] = {"a": "b"}
    routes = proxy.routes([service], [ready, waiting])
    target = [("127.64.0.2", 8080)]
    assert routes == {("127.96.0.1", 80): target, ("127.0.0.1", 30000): target}


def test_a_service_without_a_selector_leads_where_others_say() -> None:
    metadata = {"name": "store", "namespace": "n", "uid": "u"}
    ports = [{"name": "api", "port": 9000}, {"name": "web", "port": 9001}]
    service = {"metadata": metadata, "spec": {"clusterIP": "127.96.0.1", "ports": ports}}
    named = [{"name": "api", "port": 5000}]
    told = {"metadata": metadata, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": named}]}
    foreign = told | {"metadata": metadata | {"namespace": "another"}}
    part = {
        "metadata": {"name": "x", "namespace": "n", "labels": {"kubernetes.io/service-name": "store"}},
        "endpoints": [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.3"], "conditions": {"ready": False}}],
        "ports": named,
    }
    routes = proxy.routes([service], [pod("Running", ready=True)], [told, foreign], [part])
    assert routes == {
        ("127.96.0.1", 9000): [("10.0.0.1", 5000), ("10.0.0.2", 5000)],
        ("127.96.0.1", 9001): [],
    }


def test_a_stateful_pod_has_its_name_its_claim_and_its_domain() -> None:
    it = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "n", "uid": "u"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": []}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
        },
    }
    found = stateful_sets.pod_of(it, 1, "db-x")
    assert (found["spec"]["hostname"], found["spec"]["subdomain"]) == ("db-1", "db")
    assert found["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]
    assert stateful_sets.claims(it, "db-1")[0]["metadata"]["name"] == "data-db-1"
    assert stateful_sets.ordinal(it, found) == 1
