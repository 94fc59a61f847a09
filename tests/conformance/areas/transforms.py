"""transform.*: how a dependency changes an event's data."""

from __future__ import annotations

from conformance.core import Case, NotCovered, Outcome


def run(case: Case) -> Outcome:
    raise NotCovered("jq and Lua")
