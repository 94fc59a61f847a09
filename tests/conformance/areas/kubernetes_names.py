"""names, quantities: the small rules of the Kubernetes API, by our functions directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.core import Case, Error, Outcome, judge

from events.local.apiserver import names, quantities

RULES: dict[str, names.Rule] = {
    "configMapKey": names.config_map_key,
    "dns1035Label": names.dns1035_label,
    "dns1123Label": names.dns1123_label,
    "dns1123Subdomain": names.dns1123_subdomain,
    "envVarName": names.environment_name,
    "labelValue": names.label_value,
    "portName": names.port_name,
    "qualifiedName": names.qualified_name,
}


def run(case: Case) -> Outcome:
    """Compare with the real functions."""
    if case.area == "names":
        return judge(case, {rule: check(case.input["name"]) for rule, check in RULES.items()})
    return judge(case, quantity(case.input))


def parsed(given: dict[str, Any]) -> Any:
    quantity = quantities.parse(given["quantity"])
    return {
        "canonical": str(quantity),
        "format": quantity.format,
        "milli": quantity.scaled(-3),
        "sign": quantity.sign,
        "value": quantity.scaled(0),
    }


def calculated(given: dict[str, Any]) -> Any:
    one, two = quantities.parse(given["a"]), quantities.parse(given["b"])
    return {"cmp": one.compare(two), "sum": str(one + two), "difference": str(one - two)}


def part(given: dict[str, Any]) -> Any:
    return quantities.percent_of(given["value"], given["total"], round_up=given["roundUp"])


OPS: dict[str, Callable[[dict[str, Any]], Any]] = {"parse": parsed, "arith": calculated, "percent": part}


def quantity(given: dict[str, Any]) -> Any:
    """The answer, or the error with its text: a client reads it."""
    try:
        return OPS[given["op"]](given)
    except quantities.QuantityError as error:
        return Error(str(error))
