"""Rules of what makes pods: Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, CronJobs; disruption budgets."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from events.local.apiserver import quantities
from events.local.apiserver.validation import causes, metadata, selectors
from events.local.apiserver.validation.builtin import pods
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

_MOST_CRON_NAME = 52
_SCHEDULE_FIELDS = 5
_FREE_OF_A_SET = frozenset(
    {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
)
_SET_SAYS = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def deployment(it: Object) -> list[Cause]:
    """Replicas, selector, template, strategy, deadlines."""
    spec = it["spec"]
    found = causes.negative("spec.replicas", spec.get("replicas")) + _selected(spec, "deployment")
    found += _strategy(spec.get("strategy") or {})
    for key in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        found += causes.negative(f"spec.{key}", spec.get(key))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        found.append(causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return found


def replica_set(it: Object) -> list[Cause]:
    """Replicas, selector, template."""
    spec = it["spec"]
    found = causes.negative("spec.replicas", spec.get("replicas"))
    found += causes.negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    return found + _selected(spec, "deployment")  # the word is a real server's


def selector_update(it: Object, old: Object) -> list[Cause]:
    """The selector stays."""
    return causes.immutable("spec.selector", it["spec"].get("selector"), old["spec"].get("selector"))


def _selected(spec: Object, kind: str, claimed: Collection[str] = ()) -> list[Cause]:
    selector, template = spec.get("selector"), spec.get("template") or {}
    found: list[Cause] = []
    if selector is None:
        found.append(causes.required("spec.selector"))
    else:
        found += selectors.check("spec.selector", selector)
        if selectors.is_empty(selector):
            found.append(causes.invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not found and selector and not selectors.matches(selector, labels):
        says = "`selector` does not match template `labels`"
        found.append(causes.invalid("spec.template.metadata.labels", labels or None, says))
    found += pods.template(template, "spec.template", claimed)
    restart = (template.get("spec") or {}).get("restartPolicy", "")
    if restart != "Always":
        found.append(causes.not_supported("spec.template.spec.restartPolicy", restart, ("Always",)))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        says = "activeDeadlineSeconds in ReplicaSet is not Supported"
        found.append(causes.forbidden("spec.template.spec.activeDeadlineSeconds", says))
    return found


def _strategy(strategy: Object) -> list[Cause]:
    kind, rolling, path = strategy.get("type", ""), strategy.get("rollingUpdate"), "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        says = "may not be specified when strategy `type` is 'Recreate'"
        return [causes.forbidden(path, says)] if rolling is not None else []
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": rolling}
        return [causes.not_supported("spec.strategy", shown, ("Recreate", "RollingUpdate"))]
    rolling = rolling or {}
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    found = _amount(unavailable, f"{path}.maxUnavailable") + _amount(surge, f"{path}.maxSurge")
    if _counted(unavailable) == 0 and _counted(surge) == 0:
        found.append(causes.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    if isinstance(unavailable, str) and _counted(unavailable) > 100:
        found.append(causes.invalid(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%"))
    return found


def _amount(value: int | str, path: str) -> list[Cause]:
    if isinstance(value, int):
        return causes.negative(path, value)
    if re.fullmatch("[0-9]+%", value, re.ASCII):
        return []
    says = (
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
        "regex used for validation is '[0-9]+%')"
    )
    return [causes.invalid(path, value, says)]


def _counted(value: int | str) -> int:
    if isinstance(value, int):
        return value
    try:
        return quantities.percent_of(value, 100, round_up=True)
    except quantities.QuantityError:
        return -1


def daemon_set(it: Object) -> list[Cause]:
    """Selector, template, strategy."""
    spec = it["spec"]
    found = _selected(spec, "daemonset")
    found += causes.negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    found += causes.negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    return found + _kind_of_update(spec)


def _kind_of_update(spec: Object) -> list[Cause]:
    kind, allowed = (spec.get("updateStrategy") or {}).get("type", ""), ("RollingUpdate", "OnDelete")
    return [] if kind in allowed else [causes.not_supported("spec.updateStrategy", {"Type": kind}, allowed)]


def stateful_set(it: Object) -> list[Cause]:
    """Policies, replicas, selector, template."""
    spec = it["spec"]
    found: list[Cause] = []
    management = spec.get("podManagementPolicy", "")
    if management not in ("OrderedReady", "Parallel"):
        says = "must be 'OrderedReady' or 'Parallel'"
        found.append(causes.invalid("spec.podManagementPolicy", management, says))
    if (spec.get("updateStrategy") or {}).get("type", "") not in ("RollingUpdate", "OnDelete"):
        shown = spec.get("updateStrategy") or {}
        found.append(causes.invalid("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'"))
    for key in ("replicas", "minReadySeconds", "revisionHistoryLimit"):
        found += causes.negative(f"spec.{key}", spec.get(key))
    claims = spec.get("volumeClaimTemplates") or ()
    claimed = {(one.get("metadata") or {}).get("name", "") for one in claims}
    return found + _selected(spec, "statefulset", claimed)


def stateful_set_update(it: Object, old: Object) -> list[Cause]:
    """Only what is listed may change."""
    new, before = ({k: v for k, v in one["spec"].items() if k not in _FREE_OF_A_SET} for one in (it, old))
    return [] if new == before else [causes.forbidden("spec", _SET_SAYS)]


def job(it: Object) -> list[Cause]:
    """Counts, deadlines, template."""
    return _job(it["spec"], "spec")


def _job(spec: Object, path: str) -> list[Cause]:
    found: list[Cause] = []
    for key in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "backoffLimitPerIndex",
        "ttlSecondsAfterFinished",
    ):
        found += causes.negative(f"{path}.{key}", spec.get(key))
    mode = spec.get("completionMode")
    if mode not in (None, "NonIndexed", "Indexed"):
        found.append(causes.not_supported(f"{path}.completionMode", mode, ("Indexed", "NonIndexed")))
    if mode == "Indexed" and spec.get("completions") is None:
        says = "when completion mode is Indexed"
        found.append(causes.required(f"{path}.completions", says))
    template = spec.get("template") or {}
    found += pods.template(template, f"{path}.template")
    restart = (template.get("spec") or {}).get("restartPolicy", "")
    here = f"{path}.template.spec.restartPolicy"
    if restart in ("", "Always"):
        found.append(causes.required(here, 'valid values: "OnFailure", "Never"'))
    elif restart not in ("OnFailure", "Never"):
        found.append(causes.not_supported(here, restart, ("OnFailure", "Never")))
    return found


def job_update(it: Object, old: Object) -> list[Cause]:
    """What runs stays what it is; a suspended job may still change where it runs."""
    new, before = it["spec"], old["spec"]
    found: list[Cause] = []
    if new.get("completionMode") != "Indexed":
        found += causes.immutable("spec.completions", new.get("completions"), before.get("completions"))
    for key in ("selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"):
        if key == "template" and before.get("suspend") and not (old.get("status") or {}).get("startTime"):
            continue
        found += causes.immutable(f"spec.{key}", new.get(key), before.get(key))
    return found


def cron_job(it: Object) -> list[Cause]:
    """Schedule, policies, template."""
    spec = it["spec"]
    found: list[Cause] = []
    name = it["metadata"].get("name", "")
    if len(name) > _MOST_CRON_NAME:
        says = f"must be no more than {_MOST_CRON_NAME} characters"
        found.append(causes.invalid("metadata.name", name, says))
    schedule = spec.get("schedule", "")
    if not schedule:
        found.append(causes.required("spec.schedule"))
    else:
        found += _schedule(schedule)
    for key in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found += causes.negative(f"spec.{key}", spec.get(key))
    policy = spec.get("concurrencyPolicy", "")
    if policy not in ("Allow", "Forbid", "Replace"):
        allowed = ("Allow", "Forbid", "Replace")
        found.append(causes.not_supported("spec.concurrencyPolicy", policy, allowed))
    template = spec.get("jobTemplate") or {}
    found += metadata.labels("spec.jobTemplate.metadata.labels", (template.get("metadata") or {}).get("labels"))
    return found + _job(template.get("spec") or {}, "spec.jobTemplate.spec")


def _schedule(schedule: str) -> list[Cause]:
    path = "spec.schedule"
    if "TZ" in schedule:
        says = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        return [causes.invalid(path, schedule, says)]
    if schedule.startswith("@"):
        known = r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)"
        if re.fullmatch(known, schedule):
            return []
        return [causes.invalid(path, schedule, f"unrecognized descriptor: {schedule}")]
    fields = schedule.split()
    if len(fields) != _SCHEDULE_FIELDS:
        shown = " ".join(fields)
        says = f"expected exactly {_SCHEDULE_FIELDS} fields, found {len(fields)}: [{shown}]"
        return [causes.invalid(path, schedule, says)]
    return []


def disruption_budget(it: Object) -> list[Cause]:
    """One of the two amounts."""
    spec = it.get("spec") or {}
    found: list[Cause] = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        says = "minAvailable and maxUnavailable cannot be both set"
        found.append(causes.invalid("spec", spec, says))
    for key in ("minAvailable", "maxUnavailable"):
        if spec.get(key) is not None:
            found += _amount(spec[key], f"spec.{key}")
    return found + selectors.check("spec.selector", spec.get("selector"))
