"""withItems, withParam, withSequence: the steps or tasks that a loop becomes. Contract: workflows F.4."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from events.local.workflows import gotexts, tags, when
from events.local.workflows.errors import WorkflowError

Step = dict[str, Any]
LOOPS = ("withItems", "withParam", "withSequence")
_MOST = 1_000_000
_VERB = re.compile(r"%(?P<flags>[-+ #0]*)(?P<width>\d*)(?:\.(?P<precision>\d+))?(?P<verb>.)", re.DOTALL)


def is_loop(step: Mapping[str, Any]) -> bool:
    """Whether a step or task has items."""
    return bool(step.get("withItems")) or bool(step.get("withParam")) or step.get("withSequence") is not None


def expanded(step: Step, scope: Mapping[str, Any]) -> list[Step]:
    """The steps that a step becomes; itself when it is no loop. WorkflowError when it cannot."""
    if not is_loop(step):
        return [step]
    items = _items(step)
    body = {key: value for key, value in step.items() if key not in LOOPS}
    return [_one(body, index, item, scope) for index, item in enumerate(items)]


def _items(step: Step) -> list[Any]:
    if step.get("withItems"):
        return list(step["withItems"])
    if step.get("withParam"):
        return _parsed(step["withParam"], step)
    return sequence(step["withSequence"])


def _parsed(text: str, step: Step) -> list[Any]:
    problem = ""
    try:
        found = json.loads(text)
        if isinstance(found, list):
            return found
        kinds = {dict: "object", str: "string", bool: "bool", type(None): "null"}
        if found is None:
            return []
        problem = f"json: cannot unmarshal {kinds.get(type(found), 'number')} into Go value of type []v1alpha1.Item"
    except ValueError:
        problem = gotexts.json_error(text)
    if _is_off(step):
        return []
    raise WorkflowError(f"withParam value could not be parsed as a JSON list: {text}: {problem}")


def _is_off(step: Step) -> bool:
    """Whether its `when` is false already, whatever the items."""
    try:
        return not when.decide(step.get("when") or "")
    except WorkflowError:
        return False


def _one(body: Step, index: int, item: Any, scope: Mapping[str, Any]) -> Step:
    variables = dict(scope)
    suffix = _variables(item, variables)
    template = body.get("template")
    inner = {key: value for key, value in body.items() if key not in ("name", "template", "hooks")}
    is_off = _is_off(body)
    found = dict(tags.replaced(inner, variables, is_final=not is_off))
    found["name"] = f"{body['name']}({index}:{suffix})"
    if template is not None:
        found["template"] = template
    if "hooks" in body:
        found["hooks"] = tags.replaced(body["hooks"], variables)
    return found


def _variables(item: Any, variables: dict[str, Any]) -> str:
    """Add `item` and its members to the variables; the suffix of the name."""
    if isinstance(item, dict):
        text = gotexts.dumps(item)
        variables["item"] = text
        described = []
        for key, value in item.items():
            shown = value if isinstance(value, str) else gotexts.dumps(value)
            variables[f"item.{key}"] = shown
            described.append(f"{key}:{shown}")
        return ",".join(sorted(described))
    if isinstance(item, list):
        variables["item"] = gotexts.dumps(item)
        return f"[{' '.join(one if isinstance(one, str) else gotexts.dumps(one) for one in item)}]"
    if item is None:
        variables["item"] = "null"
        return "[]"
    if isinstance(item, str):
        variables["item"] = item
        return json.dumps(item, ensure_ascii=False)[1:-1].replace("(", "").replace(")", "")
    variables["item"] = json.dumps(item)
    return json.dumps(item)


def sequence(given: Mapping[str, Any]) -> list[str]:
    """The items of withSequence."""
    try:
        start = gotexts.integer(given.get("start") if given.get("start") not in (None, "") else 0)
        if given.get("end") not in (None, ""):
            end = gotexts.integer(given["end"])
        elif given.get("count") not in (None, ""):
            count = gotexts.integer(given["count"])
            if count == 0:
                return []
            end = start + count - 1
        else:
            raise WorkflowError("neither end nor count was specified in withSequence")
    except ValueError as error:
        raise WorkflowError(str(error)) from error
    form = given.get("format") or "%d"
    numbers = range(start, end + 1) if start <= end else range(start, end - 1, -1)
    if len(numbers) > _MOST:
        raise WorkflowError(f"withSequence has {len(numbers)} items: at most {_MOST} are made")
    return [_printed(form, number) for number in numbers]


def _printed(form: str, number: int) -> str:
    """fmt.Sprintf(form, number)."""
    used = 0

    def verb(found: re.Match[str]) -> str:
        nonlocal used
        kind, flags = found["verb"], found["flags"]
        if kind == "%":
            return "%"
        used += 1
        if used > 1:
            return f"%!{kind}(MISSING)"
        return _number(kind, flags, found["width"], found["precision"], number)

    text = _VERB.sub(verb, form)
    return text if used else f"{text}%!(EXTRA int={number})"


def _number(kind: str, flags: str, width: str, precision: str | None, number: int) -> str:
    bases = {"d": "d", "x": "x", "X": "X", "o": "o", "b": "b", "v": "d"}
    if kind == "c":
        shown = chr(max(number, 0))
    elif kind == "U":
        shown = f"U+{max(number, 0):04X}"
    elif kind in bases:
        digits = format(abs(number), bases[kind]).zfill(int(precision or 0))
        prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(kind, "") if "#" in flags else ""
        sign = "-" if number < 0 else "+" if "+" in flags else " " if " " in flags else ""
        if "0" in flags and "-" not in flags and precision is None:
            digits = digits.zfill(int(width or 0) - len(sign))
        shown = sign + prefix + digits
    else:
        return f"%!{kind}(int={number})"
    return shown.ljust(int(width or 0)) if "-" in flags else shown.rjust(int(width or 0))
