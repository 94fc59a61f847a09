"""Why the pods of a Deployment are not ready, in words that a person can act on."""

from __future__ import annotations

from typing import Any

import pytest

from events.kube.rollout import condition, is_ready


def deployment(wanted: int | None = 1, *, seen: int = 1, conditions: Any = (), **counts: int) -> dict[str, Any]:
    spec = {} if wanted is None else {"replicas": wanted}
    return {
        "metadata": {"name": "d", "generation": 1},
        "spec": spec,
        "status": {"observedGeneration": seen, "conditions": list(conditions), **counts},
    }


def counts(updated: int = 0, available: int = 0, unavailable: int = 0) -> dict[str, int]:
    return {"updatedReplicas": updated, "availableReplicas": available, "unavailableReplicas": unavailable}


@pytest.mark.parametrize(
    ("made", "ready"),
    [
        (deployment(), False),
        (deployment(**counts(1, 1)), True),
        (deployment(None, **counts(1, 1)), True),
        (deployment(seen=0, **counts(1, 1)), False),
        (deployment(**counts(1, 1, 1)), False),  # rolling: the new pod is not available yet
        (deployment(3, **counts(2, 3)), False),
        (deployment(3, **counts(3, 2)), False),
        (deployment(0), True),
        ({"metadata": {"name": "d", "generation": 1}, "spec": {}}, False),
    ],
)
def test_ready_is_when_all_wanted_pods_run_what_is_wanted(made: Any, ready: bool) -> None:
    assert is_ready(made) is ready
    assert condition(made, []).status == str(ready)


def pod(name: str = "p", phase: str = "Pending", *, main: Any = None, conditions: Any = (), **more: Any) -> Any:
    status = {"phase": phase, "conditions": list(conditions), "containerStatuses": [main] if main else []}
    return {"metadata": {"name": name}, "spec": {}, "status": status} | more


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


ENDED = {"exitCode": 1, "reason": "Error", "message": 'first\n{"level":"error","msg":"Stopping","reason":"no bus"}\n'}
QUOTA = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods"}


@pytest.mark.parametrize(
    ("found", "reason", "message"),
    [
        ([], "PodsNotReady", "0 of 1 pods are ready"),
        (
            [
                pod(
                    conditions=[
                        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}
                    ]
                )
            ],
            "Unschedulable",
            "pod p: 0/3",
        ),
        ([pod(main=waiting("ImagePullBackOff", "Back-off pulling"))], "ImagePullBackOff", "pod p: Back-off pulling"),
        ([pod(main=waiting("ErrImageNeverPull"))], "ErrImageNeverPull", "pod p: the container waits"),
        ([pod(main=waiting("CreateContainerConfigError", "secret x"))], "CreateContainerConfigError", "secret x"),
        (
            [pod(main=waiting("CrashLoopBackOff", "back-off 5m0s", lastState={"terminated": ENDED}))],
            "CrashLoopBackOff",
            "pod p: the container ends with exit code 1: Stopping: no bus",
        ),
        ([pod(phase="Running", main={"state": {"terminated": ENDED}})], "CrashLoopBackOff", "Stopping: no bus"),
        (
            [pod(phase="Running", main={"state": {"running": {}}, "lastState": {"terminated": ENDED}})],
            "CrashLoopBackOff",
            "Stopping: no bus",
        ),
        (
            [pod(main=waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))],
            "CrashLoopBackOff",
            "OOMKilled (exit code 137)",
        ),
        ([pod(phase="Running", main={"state": {"running": {}}})], "PodsNotReady", "/readyz"),
        (
            [pod(phase="Running", main={"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 0}}})],
            "PodsNotReady",
            "/readyz",
        ),
        (
            [
                pod(
                    main=waiting("ContainerCreating"),
                    spec={"volumes": [{"secret": {"secretName": "s"}}, {"configMap": {"name": "c"}}]},
                )
            ],
            "PodsNotReady",
            "cannot start without Secret 's', ConfigMap 'c'",
        ),
        ([pod(main=waiting("ContainerCreating", "secret s not found"))], "PodsNotReady", "pod p: secret s not found"),
        ([pod(phase="Failed", main=None)], "PodFailed", "it failed"),
        (
            [pod("a", "Running", main={"state": {"running": {}}}), pod("b", main=waiting("ErrImagePull", "no such"))],
            "ErrImagePull",
            "pod b: no such",
        ),
        ([pod(conditions=[{"type": "Ready", "status": "True"}])], "PodsNotReady", "0 of 1"),
        ([pod(main=waiting("ErrImagePull"), metadata={"name": "p", "deletionTimestamp": "x"})], "PodsNotReady", "0 of"),
    ],
)
def test_the_reason_is_the_one_to_act_on(found: Any, reason: str, message: str) -> None:
    told = condition(deployment(), found)
    assert (told.type, told.status, told.reason) == ("Deployed", "False", reason)
    assert message in told.message


def test_pods_that_may_not_be_made_come_first() -> None:
    told = condition(deployment(conditions=[QUOTA]), [pod(main=waiting("ErrImagePull"))])
    assert (told.reason, told.message) == ("FailedCreate", "exceeded quota: pods")


def test_a_crash_is_told_in_the_same_words_each_time() -> None:
    def crashed(number: int) -> Any:
        line = f'{{"ts":"2026-07-01T00:00:{number:02}Z","msg":"Stopping","reason":"no bus"}}'
        last = {"terminated": ENDED | {"message": line, "finishedAt": str(number)}}
        return pod(main=waiting("CrashLoopBackOff", f"back-off {number}s", lastState=last, restartCount=number))

    assert condition(deployment(), [crashed(1)]) == condition(deployment(), [crashed(2)])


def test_long_messages_are_cut() -> None:
    assert len(condition(deployment(), [pod(main=waiting("ErrImagePull", "x" * 5000))]).message) == 1000
