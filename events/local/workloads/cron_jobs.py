"""CronJobs: a Job for each moment of a schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from events import cron
from events.errors import UserError
from events.kube import objects, status
from events.kube.api import KubeApi
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.workloads import jobs as job_rules
from events.local.workloads import owned
from events.local.workloads.owned import Owned, Say

Object = dict[str, Any]

_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_LONGEST = 3600.0


class CronJobs:
    """`reconcile` starts what is due, and says when to look again."""

    def __init__(self, api: KubeApi, crons: Informer, jobs: Informer, say: Say) -> None:
        self._api, self._crons, self._say = api, crons, say
        self._jobs = Owned(api, jobs)

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._crons.get(key.namespace, key.name)
        if it is None or owned.is_going(it):
            return None
        jobs, now = await self._jobs.fresh(it), datetime.now(UTC)
        await self._clean_up(it, jobs)
        active = [one for one in jobs if job_rules.end_of(one) is None]
        found: Object = dict(it.get("status") or {})
        ended = [one["status"]["completionTime"] for one in jobs if (one.get("status") or {}).get("completionTime")]
        if ended:
            found["lastSuccessfulTime"] = max(ended)
        try:
            schedule = cron.parse(it["spec"]["schedule"], it["spec"].get("timeZone"), default=cron.local_zone())
        except UserError as error:
            self._say(it, "Warning", "UnparseableSchedule", f"unparseable schedule {it['spec']['schedule']!r}: {error}")
            return None
        if not it["spec"].get("suspend") and (due := due_at(it, schedule, now)) is not None:
            if (made := await self._start(it, due, active)) is not None:
                active.append(made)
            if made is not None or it["spec"].get("concurrencyPolicy") != "Forbid":
                found["lastScheduleTime"] = due.strftime("%Y-%m-%dT%H:%M:%SZ")
        found["active"] = [reference(one) for one in active]
        if not found["active"]:
            found.pop("active")
        await status.write(self._api, it, found)
        upcoming = schedule.next(now)
        return min(_LONGEST, max(0.1, (upcoming - now).total_seconds() + 0.05)) if upcoming else None

    async def _start(self, it: Object, due: datetime, active: list[Object]) -> Object | None:
        policy = it["spec"].get("concurrencyPolicy") or "Allow"
        if active and policy == "Forbid":
            self._say(it, "Normal", "JobAlreadyActive", "Not starting job because prior execution is running")
            return None
        if policy == "Replace":
            for one in active:
                await self._jobs.remove(one)
            active.clear()
        made = await self._jobs.make(job_of(it, due))
        if made is not None:
            self._say(it, "Normal", "SuccessfulCreate", f"Created job {made['metadata']['name']}")
        return made

    async def _clean_up(self, it: Object, jobs: list[Object]) -> None:
        """Keep as many ended ones as it wants."""
        for kind, key, kept in (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1)):
            ended = [one for one in jobs if (end := job_rules.end_of(one)) and end["type"] == kind]
            ended.sort(key=lambda one: str(one["metadata"]["creationTimestamp"]))
            for one in ended[: max(0, len(ended) - it["spec"].get(key, kept))]:
                await self._jobs.remove(one)
                jobs.remove(one)


def due_at(it: Object, schedule: cron.Schedule, now: datetime) -> datetime | None:
    """The last moment that passed since it was looked at, unless that was too long ago. Pure."""
    last = (it.get("status") or {}).get("lastScheduleTime") or it["metadata"]["creationTimestamp"]
    # `previous` is before its argument: a moment that is now counts, too
    found = schedule.previous(datetime.fromtimestamp(now.timestamp() + 0.001, UTC))
    if found is None or found <= owned.moment(last):
        return None
    late = it["spec"].get("startingDeadlineSeconds")
    return None if late is not None and (now - found).total_seconds() > late else found


def job_of(it: Object, due: datetime) -> Object:
    """The job of one moment: its name follows from that, so there is never a second one. Pure."""
    template, metadata = it["spec"]["jobTemplate"], it["metadata"]
    given = template.get("metadata") or {}
    notes = {**(given.get("annotations") or {}), _AT: due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    names = {
        "name": f"{metadata['name']}-{int(due.timestamp()) // 60}",
        "namespace": metadata["namespace"],
        "labels": given.get("labels") or {},
        "annotations": notes,
        "ownerReferences": [owned.owner_reference(it)],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": names, "spec": objects.copied(template["spec"])}


def reference(job: Object) -> Object:
    """To a job that runs."""
    metadata = job["metadata"]
    names = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")}
    return {"apiVersion": "batch/v1", "kind": "Job", **names}
