"""eventsource.expr: which events of a source are published."""

from __future__ import annotations

import json
import re
from typing import Any

from conformance.core import Case, Outcome, attempt, judge

from eventsources import filters
from eventsources.sources.webhook import WebhookSource

ENTRY = {"endpoint": "/", "port": "1", "method": "POST"}


def run(case: Case) -> Outcome:
    """Compare with upstream; keys of the data can be read whatever they are called (N6)."""
    return judge(case, attempt(lambda: answer(case.input)), {"N6": under_other_names})


def answer(given: dict[str, Any]) -> bool:
    chosen = filters.compiled(WebhookSource.Spec.parse(ENTRY | {"filter": given["filter"]}))
    assert chosen is not None
    return chosen.passes(given["data"].encode())


def under_other_names(case: Case) -> Any:
    """N6: the answer that there is when no key of the data has the name of a function."""
    data, expression = json.loads(case.input["data"]), case.input["filter"]["expression"]
    names = {name for name in data if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w(])", expression)}
    renamed = {f"{name}_" if name in names else name: value for name, value in data.items()}
    for name in names:
        expression = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w(])", f"{name}_", expression)
    return attempt(lambda: answer({"filter": {"expression": expression}, "data": json.dumps(renamed)}))
