"""The options of the `argo` commands that mean something here, read and applied as those commands do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from events.errors import ActionError, InvalidEvent, UserError
from events.event import parse_time
from events.kube.api import Object
from events.problems import did_you_mean

SCHEDULED = "workflows.argoproj.io/scheduled-time"

Options = list[tuple[str, Any]]

_SHORT: Mapping[str, str] = MappingProxyType({"p": "parameter", "l": "labels", "o": "output"})
SUBMIT, RESUBMIT, RETRY, RESUME = "submit", "resubmit", "retry", "resume"
_SUBMITTED = (
    "annotations",
    "entrypoint",
    "generate-name",
    "labels",
    "name",
    "output",
    "parameter",
    "priority",
    "scheduled-time",
    "serviceaccount",
    "strict",
)
_KNOWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        SUBMIT: _SUBMITTED,
        "submit-from": _SUBMITTED,
        RESUBMIT: ("output", "parameter"),
        RETRY: ("node-field-selector", "output", "parameter", "restart-successful"),
        RESUME: ("node-field-selector",),
    }
)
"""By operation; others take none."""
_SWITCHES = ("strict", "restart-successful")


def has_options(operation: str) -> bool:
    """Whether an operation takes any."""
    return operation in _KNOWN


def parse(args: list[str], operation: str = SUBMIT) -> Options:
    """Options in order, by their long names; UserError with the path of the one that cannot be used."""
    options = []
    for index, name, value in _split(args, operation):
        try:
            options.append((name, _value(name, value)))
        except (ValueError, InvalidEvent) as error:
            raise UserError(f"{name}: {error}", path=f"args[{index}]") from error
    return options


def apply(options: Options, workflow: Object) -> None:
    """Change `workflow` in place; ActionError when it has no place for them."""
    meta, spec = _inside(workflow, "metadata"), _inside(workflow, "spec")
    parameters: dict[str, str] = {}
    for name, value in options:
        if name == "parameter":
            parameters[value[0]] = value[1]
        elif name in ("labels", "annotations"):
            _inside(meta, name).update(value)
        elif name == "scheduled-time":
            _inside(meta, "annotations")[SCHEDULED] = value
        elif name in ("name", "generate-name"):
            meta["generateName" if name == "generate-name" else name] = value
        elif name in ("entrypoint", "priority"):
            spec[name] = value
        elif name == "serviceaccount":
            spec["serviceAccountName"] = value
    if parameters:
        arguments = _inside(spec, "arguments")
        given = [one for one in arguments.get("parameters") or [] if one.get("name") not in parameters]
        arguments["parameters"] = [{"name": name, "value": value} for name, value in parameters.items()] + given


def _split(args: list[str], operation: str) -> Iterator[tuple[int, str, str]]:
    """`--name=x`, `--name x`, `-p x`, `-px` as (index, long name, value)."""
    rest, known = iter(enumerate(args)), _KNOWN[operation]
    for index, arg in rest:
        name, equals, value = arg[2:].partition("=")
        if not arg.startswith("--"):
            if not arg.startswith("-") or len(arg) < 2:
                raise UserError(f"{arg!r} is not an option", path=f"args[{index}]")
            name, equals, value = _SHORT.get(arg[1], arg[:2]), arg[2:], arg[2:].removeprefix("=")
        if name not in known:
            cure = did_you_mean(name, known) or f"known here: {', '.join(known)}"
            raise UserError(f"option {arg!r} of argo {operation} is not supported", path=f"args[{index}]", cure=cure)
        if not equals and name in _SWITCHES:
            value = "true"
        elif not equals:
            following = next(rest, None)
            if following is None:
                raise UserError(f"option {arg!r} needs a value", path=f"args[{index}]")
            value = following[1]
        yield index, name, value


def _value(name: str, text: str) -> Any:
    """An option's value as it goes into the Workflow; ValueError when it is none."""
    if name == "parameter":
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"expected NAME=VALUE, got {text!r}")
        return key, value
    if name in ("labels", "annotations"):
        pairs = [part.partition("=") for part in text.split(",") if part]
        if not all(key and equals for key, equals, _ in pairs):
            raise ValueError(f"expected NAME=VALUE,NAME=VALUE, got {text!r}")
        return {key: value for key, _, value in pairs}
    if name == "priority":
        return int(text)
    if name == "scheduled-time":
        parse_time(text)
    return text


def _inside(obj: Object, field: str) -> dict[str, Any]:
    """The object at `field`, made when there is none."""
    found = obj.get(field)
    if found is None:
        found = obj[field] = {}
    if not isinstance(found, dict):
        raise ActionError(f"the Workflow's {field} is not an object")
    return found
