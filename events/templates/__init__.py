"""Go templates with the functions of sprig (contract sensors A.5.2, C.2, Appendix 4), on the package `gotpl`.

A template sees what it is given and nothing of the process (flaw Z6); length, steps, output and time are limited.

    values.py       what values are: Go's types where Python's say less
    limits.py       what one rendering may use up
    functions.py    what may be called, with the types and limits of arguments
    builtins.py, dates.py, regexes.py, formatting.py    functions that are ours
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from events.errors import ParameterError, UserError
from events.templates import functions, limits
from events.templates.values import Map, decoded

__all__ = ["Template", "compile", "rendered_or_none"]

MAX_CHARACTERS = 100_000
"""Length of a template; ours."""
MAX_ITERATIONS = 100_000
MAX_CALLS = 20_000
MAX_DEPTH = 100

_WORD = re.compile(r"[A-Za-z_]\w*")
# Go reads `now.Year` as `(now).Year`; gotpl wants the brackets.
_ACTION = re.compile(r'\{\{(?:"(?:\\.|[^"\\])*"|`[^`]*`|[^"`}]|\}(?!\}))*\}\}', re.DOTALL)
_MEMBER_OF_NOW = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`|(?<![\w.$])now(?=\.[A-Z])', re.DOTALL)
_NO_VALUE = "<no value>"
_POSITION = re.compile(r"template:(\d+):(\d+): (.*)", re.DOTALL)
_UNDEFINED = re.compile(r"function '(\w+)' not defined")
_EXECUTING = re.compile(r"template: param:\d+:\d+: executing \"[^\"]*\": ")


class Template:
    """One template, compiled."""

    __slots__ = ("_render", "text")

    def __init__(self, text: str) -> None:
        """UserError when it is not a template."""
        self.text = text
        self._render = _compiled(text).render

    def render(self, input: Any) -> str:
        """What it makes of JSON data, which is its `.Input`; ParameterError when it fails."""
        import gotpl

        token = limits.allowance.set(limits.Allowance())
        try:
            return str(self._render(Map(Input=decoded(input))))
        except gotpl.TemplateError as error:
            raise ParameterError(f"the template: {_EXECUTING.sub('', str(error))}") from error
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ParameterError(f"the template: {error}") from error
        finally:
            limits.allowance.reset(token)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def compile(text: str) -> Template:
    """A template to be used for every event; UserError when it is not one."""
    return Template(text)


def rendered_or_none(text: str) -> str | None:
    """A rendered text, or None when it counts as no value: empty, or the mark of a missing one."""
    return text if text and text != _NO_VALUE else None


@lru_cache(maxsize=1)
def _policy() -> Any:
    # Only now: most objects have no templates, and the library takes 100 ms to load.
    import gotpl

    return gotpl.SandboxPolicy(
        allow_functions=functions.functions(),
        allow_attributes=("Major", "Minor", "Patch"),  # of versions
        allow_methods=("Prerelease", "Metadata", "Original", "Compare"),
        allow_custom_lookup=True,
        max_template_chars=MAX_CHARACTERS,
        default_budget=gotpl.ExecutionBudget(
            max_output_chars=limits.MAX_TEXT,
            max_iterations=MAX_ITERATIONS,
            max_template_depth=MAX_DEPTH,
            max_function_calls=MAX_CALLS,
        ),
    )


def _parsed(text: str) -> Any:
    import gotpl

    known = functions.functions()
    # Only those it may call: the library goes through all that it is given for every rendering.
    named = {name: known[name] for name in _WORD.findall(text) if name in known}
    source = _ACTION.sub(_bracketed, text) if "now." in text else text
    return gotpl.Environment(functions=named, sandbox=_policy()).from_string(source, name="param")


def _compiled(text: str) -> Any:
    import gotpl

    if len(text) > MAX_CHARACTERS:
        raise UserError(f"the template has more than {MAX_CHARACTERS} characters", cure="make it shorter")
    try:
        return _parsed(text)
    except gotpl.TemplateError as error:
        raise _wrong(str(error)) from error
    except RecursionError as error:
        raise UserError("the template is nested too deeply") from error
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise UserError(f"this is not a template: {str(error).partition(';')[0]}") from error


def _bracketed(action: re.Match[str]) -> str:
    return _MEMBER_OF_NOW.sub(lambda found: "(now)" if found[0] == "now" else found[0], action[0])


def _wrong(message: str) -> UserError:
    found = _POSITION.fullmatch(message)
    where = f" (at {found[1]}:{found[2]})" if found else ""
    reason = found[3] if found else message
    return UserError(f"{reason}{where}", cure=_cure(reason))


def _cure(reason: str) -> str:
    found = _UNDEFINED.search(reason)
    if found is None:
        return ""
    if found[1] in functions.REACHING_OUT:
        return "a template sees the event only; give the value as a parameter"
    if found[1] in functions.SLOW:
        return "keys, certificates and password hashes are not made for events"
    import difflib

    close = difflib.get_close_matches(found[1], functions.functions(), n=1)
    return f"did you mean {close[0]!r}?" if close else "functions are those of Go templates and sprig"
