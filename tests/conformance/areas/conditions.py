"""conditions: which sets of dependencies make a trigger fire."""

from __future__ import annotations

import re
from typing import Any

from conformance.core import AS_UPSTREAM, Case, Error, Outcome, attempt, judge

from sensors import conditions

NAME = re.compile(r"[^\W\d_][\w-]*")


def run(case: Case) -> Outcome:
    """Compare with upstream; what it accepts by accident is refused, built-in names are names."""
    return judge(case, attempt(lambda: answer(case.input)), INTENTS)


def answer(given: dict[str, Any]) -> Any:
    condition = conditions.compile(given["conditions"], given["dependencies"])
    return {
        "expression": condition.normalised,
        "dependencies": list(condition.dependencies),
        "mode": "stateful" if condition.is_stateful else "simple",
        "fires": {
            ",".join(names): condition.satisfied_by(set(names)) for names in subsets(sorted(condition.dependencies))
        },
    }


def subsets(names: list[str]) -> list[list[str]]:
    """All of them, small ones first."""
    found: list[list[str]] = [[]]
    for name in names:
        found += [[*subset, name] for subset in found]
    return sorted(found, key=len)


def unusable_name(case: Case) -> Any:
    """B1: names that cannot stand in conditions are refused, and so are words that name no dependency."""
    names = case.input["dependencies"]
    is_usable = all(NAME.fullmatch(name) and name not in conditions.RESERVED for name in names)
    has_twins = len({name.replace("-", "_") for name in names}) < len(names)
    words = re.split(r"[\s&|()]+", case.input["conditions"])
    is_known = set(words) - {""} <= set(names)
    return AS_UPSTREAM if is_usable and not has_twins and is_known and case.expect.get("ok") else Error()


def plain_names(case: Case) -> Any:
    """All dependencies are needed, by their own names: the cases are `name && b`."""
    names = case.input["dependencies"]
    everything = subsets(sorted(names))
    return {
        "expression": "&&".join(names),
        "dependencies": names,
        "mode": "stateful",
        "fires": {",".join(some): len(some) == len(names) for some in everything},
    }


INTENTS = {"N4": lambda _case: Error(), "B1": unusable_name, "N3": plain_names}
