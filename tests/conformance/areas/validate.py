"""validate: which objects are refused."""

from __future__ import annotations

from typing import Any

from conformance.core import AS_UPSTREAM, Case, Error, Outcome, Verdict, differences, judge

from events.app import verdicts


def run(case: Case) -> Outcome:
    """Compare with upstream: refused or not."""
    raw = case.input["object"]
    errors = verdicts.BY_KIND[raw["kind"]](raw).errors
    got = Error("; ".join(map(str, errors))) if errors else None
    if case.expect.get("ok") and is_streaming(case) and "STAN" in differences().ids:
        return Outcome(Verdict.BY_CASE if errors else Verdict.FAILED, "a refusal", got, is_excusable=False)
    return judge(case, got, INTENTS)


def is_streaming(case: Case) -> bool:
    """NATS Streaming that is there already: row STAN. The recorded cases have no mark of it."""
    spec = case.input["object"]["spec"]
    return case.input["object"]["kind"] == "EventBus" and "exotic" in (spec.get("nats") or {})


def flooding(case: Case) -> Any:
    """ES-3.2: an interval that floods is refused; a date that never comes is warned of."""
    entries = case.input["object"]["spec"]["calendar"].values()
    return Error() if any(not entry.get("schedule") for entry in entries) else AS_UPSTREAM


def refused(_case: Case) -> Any:
    """What cannot work is refused where its author looks."""
    return Error()


def not_compiling(case: Case) -> Any:
    """T2: a program that does not compile is refused; of two languages one counts, with a warning."""
    both = any(one["transform"].keys() >= {"jq", "script"} for one in case.input["object"]["spec"]["dependencies"])
    return AS_UPSTREAM if both else Error()


INTENTS = {
    "B1": refused,
    "E9": refused,
    "ES-1.9": refused,
    "ES-2.5": refused,
    "ES-3.2": flooding,
    "N9": refused,
    "N12": refused,
    "R7": refused,
    "T2": not_compiling,
}
