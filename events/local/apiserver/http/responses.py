"""Answers: bodies, warnings, refusals."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson
import yaml
from aiohttp import web

from events import yamls
from events.local.apiserver.http.negotiation import JSON, YAML, Form
from events.local.apiserver.objects import errors
from events.local.apiserver.status import StatusError

Object = dict[str, Any]

_MOST_WARNINGS = 4 * 1024
_TIME = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ].*)?")
_AGENTS = ("curl", "Mozilla/", "Wget")


def is_pretty(query_value: str | None, agent: str) -> bool:
    """Indented for who reads it himself, unless he says otherwise."""
    if query_value is not None:
        return query_value.lower() not in ("0", "f", "false")
    return agent.startswith(_AGENTS)


def of_object(it: Object, form: Form, *, status: int = 200, pretty: bool = False) -> web.Response:
    """An object."""
    if form.media == YAML:
        return web.Response(status=status, text=_yaml(it), content_type=YAML)
    option = orjson.OPT_INDENT_2 if pretty else None
    return of_bytes(orjson.dumps(it, option=option), status=status)


def of_bytes(body: bytes, *, status: int = 200) -> web.Response:
    """An object that is JSON already."""
    return web.Response(status=status, body=body + b"\n", content_type=JSON)


def of_text(text: str, *, status: int = 200) -> web.Response:
    """Plain text."""
    return web.Response(status=status, text=text, content_type="text/plain", charset="utf-8")


def page_not_found() -> web.Response:
    """404 for a path where nothing was ever served."""
    response = of_text("404 page not found\n", status=404)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def of_error(error: StatusError, form: Form | None = None) -> web.Response:
    """A refusal."""
    it = errors.status(error)
    it["metadata"] = getattr(error, "list_metadata", {})
    response = of_object(it, form or Form(), status=error.code)
    after = (error.details or {}).get("retryAfterSeconds")
    if after:
        response.headers["Retry-After"] = str(after)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="kubernetes-master"'
    return response


def warn(response: web.StreamResponse, texts: Iterable[str]) -> None:
    """Each text once, shortened when they are too much together."""
    room = _MOST_WARNINGS
    for text in dict.fromkeys(texts):
        room -= len(text)
        if room < 0:
            break
        quoted = "".join(sign if sign.isprintable() else " " for sign in text)
        escaped = quoted.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{escaped}"')


class _Quoting(yaml.SafeDumper):
    """YAML as a real server writes it: sorted, double quotes where a text would be read as something else."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: _Quoting, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if style is None and not isinstance(yamls.scalar(text), str):
        style = '"'
    if style is None and _TIME.fullmatch(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Quoting.add_representer(str, _text)


def _yaml(it: Object) -> str:
    return yaml.dump(it, Dumper=_Quoting, sort_keys=True, allow_unicode=True)
