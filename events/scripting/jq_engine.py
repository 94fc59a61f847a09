"""jq programs in the worker, with the differences to gojq (upstream's jq) levelled where our layer can. Contract: A.6.

What runs is the prelude on line 1, then the program. Definitions in front of a program hide built-ins, so the
environment, further inputs, modules and debug output are out of reach; `import` and `include` must come first in a
program, so behind the prelude they are syntax errors.
"""

from __future__ import annotations

import re
from typing import Any, Final

import jq

from events import rawjson
from events.scripting import documents
from events.scripting.documents import InvalidDocument

_ABSENT: Final = object()
_HIDDEN = (
    *("input", "inputs", "input_filename", "input_line_number", "debug", "debug(f)", "stderr", "modulemeta"),
    *("get_search_list", "get_jq_origin", "get_prog_origin", "keys_unsorted"),
)
_PRELUDE = " ".join(
    (
        "{} as $ENV | def env: {};",
        *(f'def {name}: error("{name.partition("(")[0]} is not available here");' for name in _HIDDEN),
        # Objects have no order in gojq: wherever text is made of one, its keys come sorted; numbers as doubles.
        "def _json: tojson; def _string: tostring; def _format(f): format(f);",
        'def _number: if _json | contains(".") or contains("E") then . + 0 else . end;',
        'def _plain: if type == "number" then _number elif type == "array" then map(_plain)',
        'elif type == "object" then . as $o | reduce keys[] as $k ({}; .[$k] = ($o[$k] | _plain)) else . end;',
        "def tojson: _plain | _json;",
        'def tostring: if type == "string" then . else _plain | _string end;',
        'def format(f): if type == "string" then . else _plain end | _format(f);',
        "def to_entries: [keys[] as $k | {key: $k, value: .[$k]}];",
        "def with_entries(f): to_entries | map(f) | from_entries;",
        # gojq has these.
        'def toarray: if type == "array" then . else [.] end;',
        "def leaf_paths: paths(scalars);",
    )
)
# jq writes NaN as null and infinity as the largest double; Go refuses both. Only then is it worth a second look.
_SUSPICIOUS = re.compile(rb"null|1\.7976931348623157e\+308")
_NON_FINITE = '\n) | .. | select(type == "number" and (isnan or isinfinite))'
_LINE = re.compile(r"\bline (\d+)")


class JqProgram:
    """One program, compiled."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._program = _compile(f"{_PRELUDE}\n{text}")
        self._finite: Any = None

    def run(self, data: bytes, _seconds: float) -> bytes:
        """The first output as JSON text; InvalidDocument when there is none that is an object."""
        document = documents.write(documents.read(data))
        output = _first(self._program, document)
        if output is _ABSENT:
            raise InvalidDocument("the program gave no output")
        if not isinstance(output, dict):
            raise InvalidDocument(f"the program's output must be an object, not {_shown(output)}")
        text = documents.write(output)
        if _SUSPICIOUS.search(text):
            self._require_finite(document)
        return rawjson.escape(text)

    def _require_finite(self, document: bytes) -> None:
        if self._finite is None:
            self._finite = _compile(f"{_PRELUDE} first(\n{self._text}{_NON_FINITE}")
        if _first(self._finite, document) is not _ABSENT:
            raise InvalidDocument("a number in the output is not finite: JSON has no such numbers")


def _compile(text: str) -> Any:
    try:
        return jq.compile(text)
    except ValueError as error:
        raise InvalidDocument(_explained(str(error))) from error


def _first(program: Any, document: bytes) -> Any:
    try:
        return next(iter(program.input_text(document.decode())), _ABSENT)
    except ValueError as error:
        raise InvalidDocument(str(error)) from error


def _explained(message: str) -> str:
    """jq's own words for what is wrong, by the program's own lines."""
    found = []
    for line in message.removeprefix("jq: error: ").splitlines():
        if line.startswith("jq: ") or not line.strip(" ^"):
            continue
        if _PRELUDE[:16] not in line:
            found.append(
                _LINE.sub(lambda at: f"line {max(1, int(at[1]) - 1)}", line).replace(" at <top-level>,", " in")
            )
    return " ".join(" ".join(found).split())


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "a boolean", str: "a string", list: "an array"}.get(type(value), "a number")
