"""Jobs: pods that are to succeed so many times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from events.kube import status
from events.kube.api import KubeApi, KubeError
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.workloads import owned
from events.local.workloads.owned import Owned, Say

Object = dict[str, Any]

_INDEX = "batch.kubernetes.io/job-completion-index"
_BACKOFF, _FIRST, _MOST = 6, 10.0, 360.0
_DISRUPTED = "DisruptionTarget"


class Jobs:
    """`reconcile` makes what is missing and counts what has ended."""

    def __init__(self, api: KubeApi, jobs: Informer, pods: Informer, say: Say, first: float = _FIRST) -> None:
        self._api, self._jobs, self._say, self._first = api, jobs, say, first
        self._pods = Owned(api, pods)

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._jobs.get(key.namespace, key.name)
        if it is None or owned.is_going(it):
            return None
        if ended := end_of(it):
            return await self._expire(it, ended)
        pods, now = await self._pods.fresh(it), datetime.now(UTC)
        verdict = judged(it, pods, now)
        again: float | None = None
        if verdict is not None or it["spec"].get("suspend"):
            for pod in pods:
                if not owned.is_over(pod) and not owned.is_going(pod):
                    await self._pods.remove(pod)
            pods = [pod for pod in pods if owned.is_over(pod)] if verdict is not None else pods
        else:
            again = await self._make(it, pods, now)
        await status.write(self._api, it, status_of(it, pods, verdict, now))
        if verdict is not None:
            self._say(
                it, "Normal" if verdict["type"] == "Complete" else "Warning", verdict["reason"], verdict["message"]
            )
        return again

    async def _make(self, it: Object, pods: list[Object], now: datetime) -> float | None:
        """The pods that are missing; seconds until there is something to do by time alone."""
        pause = pause_left(pods, now, self._first)
        deadline = it["spec"].get("activeDeadlineSeconds")
        started = (it.get("status") or {}).get("startTime")
        left = deadline - (now - owned.moment(started)).total_seconds() if deadline and started else deadline
        if pause > 0:
            return min(pause, left) if left else pause
        for index in missing(it, pods):
            labels = {"job-name": it["metadata"]["name"]} | ({} if index is None else {_INDEX: str(index)})
            base = it["metadata"]["name"] if index is None else f"{it['metadata']['name']}-{index}"
            pod = owned.pod_from(it["spec"]["template"], it, owned.random_name(base), labels)
            if index is not None:
                _number(pod, index)
            if made := await self._pods.make(pod):
                pods.append(made)
                self._say(it, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        return max(0.1, float(left)) if left else None

    async def _expire(self, it: Object, ended: Object) -> float | None:
        """Remove it when it asks for that."""
        seconds = it["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return None
        left = seconds - (datetime.now(UTC) - owned.moment(ended["lastTransitionTime"])).total_seconds()
        if left > 0:
            return float(left)
        metadata, kind = it["metadata"], await self._api.resource("batch/v1", "Job")
        options = {"propagationPolicy": "Foreground", "preconditions": {"uid": metadata["uid"]}}
        try:
            await self._api.delete(kind, metadata["name"], namespace=metadata["namespace"], options=options)
        except KubeError as error:
            if error.status != 404:
                raise
        return None


def _number(pod: Object, index: int) -> None:
    """Say the pod's index in its environment, too."""
    pod["metadata"].setdefault("annotations", {})[_INDEX] = str(index)
    pod["spec"]["hostname"] = pod["metadata"]["name"].rpartition("-")[0]
    for container in (*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())):
        container["env"] = [*(container.get("env") or ()), {"name": "JOB_COMPLETION_INDEX", "value": str(index)}]


def end_of(it: Object) -> Object | None:
    """The condition that says it is over."""
    found = (it.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] in ("Complete", "Failed") and one["status"] == "True"), None)


def _count(pods: list[Object], phase: str) -> int:
    return sum(owned.phase(pod) == phase for pod in pods)


def _failures(pods: list[Object]) -> list[Object]:
    """The pods that failed by themselves, and not with the node."""
    failed = [pod for pod in pods if owned.phase(pod) == "Failed"]
    return [pod for pod in failed if not _was_disrupted(pod)]


def _was_disrupted(pod: Object) -> bool:
    found = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == _DISRUPTED and one["status"] == "True" for one in found)


def _restarts(pods: list[Object]) -> int:
    """Of containers that are started again where they are."""
    alive = [pod for pod in pods if not owned.is_over(pod)]
    statuses = [one for pod in alive for one in (pod.get("status") or {}).get("containerStatuses") or ()]
    return sum(one.get("restartCount", 0) for one in statuses)


def judged(it: Object, pods: list[Object], now: datetime) -> Object | None:
    """Complete, Failed, or not over yet. Pure."""
    spec, succeeded = it["spec"], _count(pods, "Succeeded")
    wanted = spec.get("completions")
    if spec.get("completionMode") == "Indexed":
        succeeded = len(_done_indexes(pods))
    is_enough = succeeded >= wanted if wanted is not None else succeeded > 0 and all(map(owned.is_over, pods))
    if is_enough:
        text = "Reached expected number of succeeded pods"
        return owned.condition("Complete", is_true=True, reason="CompletionsReached", message=text)
    failed = len(_failures(pods)) + _restarts(pods)
    limit = spec.get("backoffLimit", _BACKOFF)
    if failed > limit:
        text = "Job has reached the specified backoff limit"
        return owned.condition("Failed", is_true=True, reason="BackoffLimitExceeded", message=text)
    started, deadline = (it.get("status") or {}).get("startTime"), spec.get("activeDeadlineSeconds")
    if deadline is not None and started and (now - owned.moment(started)).total_seconds() >= deadline:
        text = "Job was active longer than specified deadline"
        return owned.condition("Failed", is_true=True, reason="DeadlineExceeded", message=text)
    return None


def _done_indexes(pods: list[Object]) -> set[int]:
    return {index for pod in pods if owned.phase(pod) == "Succeeded" and (index := _index_of(pod)) is not None}


def _index_of(pod: Object) -> int | None:
    text = (pod["metadata"].get("labels") or {}).get(_INDEX)
    return int(text) if text is not None else None


def missing(it: Object, pods: list[Object]) -> list[int | None]:
    """The indexes to make pods for; None for each pod without one. Pure."""
    spec = it["spec"]
    active = [pod for pod in pods if not owned.is_over(pod) and not owned.is_going(pod)]
    room = spec.get("parallelism", 1) - len(active)
    wanted = spec.get("completions")
    if spec.get("completionMode") == "Indexed":
        taken = _done_indexes(pods) | {_index_of(pod) for pod in active}
        left: list[int | None] = [index for index in range(wanted or 0) if index not in taken]
        return left[: max(0, room)]
    if wanted is None:
        return [] if _count(pods, "Succeeded") else [None] * max(0, room)
    return [None] * max(0, min(room, wanted - _count(pods, "Succeeded") - len(active)))


def pause_left(pods: list[Object], now: datetime, first: float) -> float:
    """Seconds until the next pod may follow the last failure: 10, 20, 40 … Pure."""
    failed = _failures(pods)
    if not failed:
        return 0.0
    last = max(_ended_at(pod) for pod in failed)
    pause: float = min(_MOST, first * 2 ** min(len(failed) - 1, 10))
    return max(0.0, pause - (now - last).total_seconds())


def _ended_at(pod: Object) -> datetime:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    ends = [(one.get("state") or {}).get("terminated", {}).get("finishedAt") for one in statuses]
    return max([owned.moment(pod["metadata"]["creationTimestamp"]), *(owned.moment(end) for end in ends if end)])


def status_of(it: Object, pods: list[Object], verdict: Object | None, now: datetime) -> Object:
    """What a job says of its pods. Pure."""
    before, text = it.get("status") or {}, now.strftime("%Y-%m-%dT%H:%M:%SZ")
    active = [pod for pod in pods if not owned.is_over(pod) and not owned.is_going(pod)]
    is_suspended = bool(it["spec"].get("suspend"))
    found: Object = {
        "active": len(active) if verdict is None else 0,
        "ready": sum(map(owned.is_ready, active)) if verdict is None else 0,
        "succeeded": _count(pods, "Succeeded"),
        "failed": _count(pods, "Failed"),
        "terminating": sum(owned.is_going(pod) and not owned.is_over(pod) for pod in pods),
        "startTime": None if is_suspended else before.get("startTime") or text,
        "uncountedTerminatedPods": {},
    }
    if indexes := _done_indexes(pods):
        found["completedIndexes"] = ",".join(map(str, sorted(indexes)))
    conditions = list(before.get("conditions") or ())
    if is_suspended or any(one["type"] == "Suspended" for one in conditions):
        reason, says = ("JobSuspended", "Job suspended") if is_suspended else ("JobResumed", "Job resumed")
        said = owned.condition("Suspended", is_true=is_suspended, reason=reason, message=says)
        conditions = owned.with_times(conditions, [said], text)
    if verdict is not None:
        conditions = owned.with_times(conditions, [verdict], text)
        if verdict["type"] == "Complete":
            found["completionTime"] = text
    if conditions:
        found["conditions"] = [{key: one[key] for key in one if key != "lastUpdateTime"} for one in conditions]
    always = ("uncountedTerminatedPods", "ready", "terminating")
    return {key: value for key, value in found.items() if value or key in always}
