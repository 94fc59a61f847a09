"""`{{…}}` in the JSON form of an object. Contract: workflows E.2, E.3.

One pass, left to right. What cannot be resolved stays as it is, and later passes see it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from events.local.workflows import expressions, gotexts
from events.local.workflows.errors import Unresolved, WorkflowError

Scope = Mapping[str, Any]
ABSENT = "__argo-internal.absent-optional-output__"
"""In place of an output that a skipped producer never had."""
OPEN, CLOSE = "{{", "}}"


def replaced(value: Any, scope: Scope, *, strict: Collection[str] = (), is_final: bool = False) -> Any:
    """The value after one pass.

    A name under a prefix in `strict` that has no value raises Unresolved; with `is_final` every name must have one.
    """
    text = gotexts.dumps(value)
    if OPEN not in text:
        return value
    found = _Pass(scope, tuple(strict), is_final).run(text)
    try:
        return json.loads(found)
    except ValueError:
        raise WorkflowError("cannot finish template replacement because the result was invalid JSON") from None


def tags(value: Any) -> Iterator[str]:
    """The simple tags of a value, in order, without blanks around; expressions left out."""
    for tag, _ in split(gotexts.dumps(value)):
        if tag is not None and not tag.lstrip().startswith("="):
            yield tag.strip()


def split(text: str) -> Iterator[tuple[str | None, str]]:
    """(tag, "") and (None, text between), in order; WorkflowError for a tag without an end."""
    at = 0
    while True:
        start = text.find(OPEN, at)
        if start < 0:
            yield None, text[at:]
            return
        yield None, text[at:start]
        end = text.find(CLOSE, start + 2)
        if end < 0:
            rest = gotexts.quoted(text[start + 2 :])
            raise WorkflowError(
                f'Cannot find end tag="}}}}" in the template="{gotexts.quoted(text)}" starting from "{rest}"'
            )
        yield text[start + 2 : end], ""
        at = end + 2


class _Pass:
    """One pass over one text."""

    def __init__(self, scope: Scope, strict: tuple[str, ...], is_final: bool) -> None:  # noqa: FBT001
        self._scope, self._strict, self._is_final = scope, strict, is_final
        self._variables: dict[str, Any] | None = None

    def run(self, text: str) -> str:
        return "".join(between if tag is None else self._tag(tag) for tag, between in split(text))

    def _tag(self, tag: str) -> str:
        if tag.startswith("="):
            return self._expression(tag[1:])
        name = tag.strip()
        if name in self._scope:
            return gotexts.quoted(self._text(name, self._scope[name]))
        nested = tag.rfind(OPEN)
        if nested > 0 and tag[nested + 2 :] in self._scope:
            inner = tag[nested + 2 :]
            return OPEN + tag[:nested] + gotexts.quoted(self._text(inner, self._scope[inner]))
        self._refuse(name, tag)
        return f"{OPEN}{tag}{CLOSE}"

    def _text(self, name: str, value: Any) -> str:
        if value is None:
            says = "output is an absent optional (skipped/omitted node with no default)"
            raise WorkflowError(f"unable to substitute {{{{{name}}}}}: {says}")
        if not isinstance(value, str):
            raise WorkflowError(f"failed to resolve {{{{{name}}}}} to string")
        return value

    def _refuse(self, name: str, shown: str) -> None:
        if self._is_final:
            raise WorkflowError(f"failed to resolve {{{{{shown}}}}}")
        if self._is_strict(name):
            raise Unresolved(f"failed to resolve {{{{{shown}}}}}")

    def _is_strict(self, name: str) -> bool:
        first, *rest = name.split(".")
        return first in self._strict and rest[1:3] != ["outputs", "artifacts"]

    def _expression(self, written: str) -> str:
        untouched = f"{OPEN}={written}{CLOSE}"
        try:
            text = json.loads(f'"{written}"', strict=False)
        except ValueError as error:
            if not self._is_final:
                return untouched
            raise WorkflowError(f"failed to unmarshall JSON expression: {error}") from error
        if not self._is_final and expressions.waits(text, self._scope):
            return untouched
        try:
            return self._written(text)
        except expressions.SyntaxProblem as error:
            raise WorkflowError(f"failed to evaluate expression: {error.message}") from error
        except WorkflowError as error:
            missing = next((name for name in expressions.names(text) if self._is_missing(name)), "")
            if missing and not self._is_final:
                raise Unresolved(f"failed to evaluate expression: {error.message}") from error
            if self._strict or self._is_final:
                raise WorkflowError(f"failed to evaluate expression: {error.message}") from error
            return untouched

    def _is_missing(self, name: str) -> bool:
        """Whether a needed name under a strict prefix has no value; maps above values count as there."""
        if name.split(".")[0] not in self._strict:
            return False
        return name not in self._scope and not any(key.startswith(f"{name}.") for key in self._scope)

    def _written(self, text: str) -> str:
        if self._variables is None:
            self._variables = expressions.environment(self._scope)
        found = expressions.evaluate(text, self._variables)
        if found is None or not expressions.is_plain(found):
            raise WorkflowError(f'failed to evaluate expression "{text}"')
        if isinstance(found, str):
            return json.dumps(found, ensure_ascii=False)[1:-1]
        try:
            return gotexts.quoted(gotexts.marshaled(found))
        except TypeError as error:
            raise WorkflowError(f'failed to evaluate expression "{text}"') from error
