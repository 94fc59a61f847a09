"""What a request on a pod asks for, checked as a real server checks it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from multidict import MultiMapping

from events.local.apiserver.pods.kubelet import ExecOptions, LogOptions, Pod
from events.local.apiserver.status import StatusError

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})
_STREAMS = ("All", "Stdout", "Stderr")
_MOST_PORTS = 50

Query: TypeAlias = MultiMapping[str]


def log(pod: Pod, query: Query, now: datetime) -> LogOptions:
    """Raises StatusError 400 or 422."""
    causes: list[dict[str, str]] = []
    tail, limit = _number(query, "tailLines"), _number(query, "limitBytes")
    seconds, since = _number(query, "sinceSeconds"), query.get("sinceTime") or ""
    if tail is not None and tail < 0:
        causes.append(_invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        causes.append(_invalid("limitBytes", limit, "must be greater than 0"))
    if seconds is not None and since:
        message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append({"reason": "FieldValueForbidden", "message": message, "field": ""})
    elif seconds is not None and seconds < 1:
        causes.append(_invalid("sinceSeconds", seconds, "must be greater than 0"))
    stream = query.get("stream") or "All"
    if stream not in _STREAMS:
        supported = ", ".join(f'"{one}"' for one in _STREAMS)
        message = f'Unsupported value: "{stream}": supported values: {supported}'
        causes.append({"reason": "FieldValueNotSupported", "message": message, "field": "stream"})
    if causes:
        raise _refused("PodLogOptions", pod, causes)
    return LogOptions(
        container=container(pod, query.get("container") or ""),
        follow=_flag(query, "follow"),
        previous=_flag(query, "previous"),
        timestamps=_flag(query, "timestamps"),
        since=now - timedelta(seconds=seconds) if seconds else _time(since),
        tail_lines=tail,
        limit_bytes=limit,
        stream=stream,
    )


def execution(pod: Pod, query: Query, *, attaches: bool = False) -> ExecOptions:
    """What to run, or to join, and which streams. Raises StatusError 400."""
    name = container(pod, query.get("container") or "")
    if not pod["spec"].get("nodeName"):
        raise _bad(f"pod {pod['metadata']['name']} does not have a host assigned")
    phase = (pod.get("status") or {}).get("phase")
    if not attaches and phase in ("Succeeded", "Failed"):
        raise _bad(f"cannot exec into a container in a completed pod; current phase is {phase}")
    command = tuple(query.getall("command", []))
    if not attaches and not command:
        raise _bad("you must specify at least one argument of the command to execute")
    options = ExecOptions(
        name,
        command,
        stdin=_flag(query, "stdin"),
        stdout=_flag(query, "stdout"),
        stderr=_flag(query, "stderr") and not _flag(query, "tty"),  # a terminal has one output
        tty=_flag(query, "tty"),
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise _bad("you must specify at least 1 of stdin, stdout, stderr")
    return options


def ports(query: Query) -> list[int]:
    """The ports of an old port-forward, which names them beforehand. Raises StatusError 400."""
    found = [text for several in query.getall("ports", []) for text in several.split(",")]
    if not 0 < len(found) <= _MOST_PORTS:
        raise _bad(f'query parameter "ports" is required, with at most {_MOST_PORTS} ports')
    return [port(text) for text in found]


def port(text: str) -> int:
    """A port of a request. Raises StatusError 400."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65_536):
        raise _bad(f"unable to parse {text[:20]!r} as a port")
    return int(text)


def container(pod: Pod, asked: str) -> str:
    """The container that is meant: the only one, when none is named. Raises StatusError 400."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = {
        key: [one["name"] for one in spec.get(key) or []]
        for key in ("containers", "initContainers", "ephemeralContainers")
    }
    if asked:
        if not any(asked in found for found in names.values()):
            raise _bad(f"container {asked} is not valid for pod {name}")
        return asked
    if len(names["containers"]) == 1:
        return str(names["containers"][0])
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names['containers'])}]"
    if names["initContainers"]:
        text += f" or one of the init containers: [{' '.join(names['initContainers'])}]"
    if names["ephemeralContainers"]:
        text += f" or one of the ephemeral containers: [{' '.join(names['ephemeralContainers'])}]"
    raise _bad(text)


def _flag(query: Query, name: str) -> bool:
    text = query.get(name) or ""
    if text not in _TRUE and text not in _FALSE:
        raise _bad(f'strconv.ParseBool: parsing "{text[:50]}": invalid syntax')
    return text in _TRUE


def _number(query: Query, name: str) -> int | None:
    text = query.get(name) or ""
    if not text:
        return None
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise _bad(f'strconv.ParseInt: parsing "{text[:50]}": invalid syntax')
    return int(text)


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad(f'parsing time "{text[:50]}" as "2006-01-02T15:04:05Z07:00": cannot parse it') from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _bad(text: str) -> StatusError:
    return StatusError(400, "BadRequest", text)


def _invalid(field: str, value: Any, text: str) -> dict[str, str]:
    return {"reason": "FieldValueInvalid", "message": f"Invalid value: {value}: {text}", "field": field}


def _refused(kind: str, pod: Pod, causes: list[dict[str, str]]) -> StatusError:
    name = pod["metadata"]["name"]
    texts = [f"{cause['field']}: {cause['message']}" if cause["field"] else cause["message"] for cause in causes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details: Mapping[str, Any] = {"name": name, "kind": kind, "causes": causes}
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', dict(details))
