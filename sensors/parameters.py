"""Step 10. Values from events, written into resources and payloads. Contract: sensors C.2 to C.5.

Raw text all the way: number literals, key order and spelling of what an event holds reach the resource as they are.
Compiled once per object; what depends on an event is looked up, never parsed as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from events import paths, rawjson, yamls
from events.errors import InvalidPath, ParameterError, UserError
from events.event import JSON_TYPE, Event, describe
from events.paths import Document, Kind
from events.paths.result import quoted
from events.problems import Problems, Severity, did_you_mean
from sensors import decoding
from sensors.types import TriggerParameter, TriggerParameterSource, TriggerTemplate

YAML_TYPE = "application/yaml"
OPERATIONS = ("", "overwrite", "append", "prepend")
Events = Mapping[str, Event]

_SHOWN = 80
# A place that can be written without reading what is there: no index, no operator, nothing to escape.
_PLAIN_DEST = re.compile(r"[A-Za-z_$][\w$/ -]*(?:\.[A-Za-z_$][\w$/ -]*)*", re.ASCII)
_NEEDS_ESCAPE = re.compile(r'[^ -\x7f]|["\\]')
_UNDECODED = re.compile("[\udc80-\udcff]")
_OPERATOR = re.compile(r"(?:^|[^\\])[|#@*?]")


@dataclass(frozen=True, slots=True)
class Value:
    """A value of an event: its text, and what kind of JSON it was."""

    text: str
    kind: Kind = Kind.STRING

    def as_json(self, *, is_raw: bool) -> str:
        """The JSON that is written: the raw value, or a string of its text."""
        if not is_raw or self.kind is Kind.STRING:
            return f'"{self.text}"' if not _NEEDS_ESCAPE.search(self.text) else quoted(self.text)
        if self.kind is Kind.NUMBER and not self.text[-1:].isdigit():
            raise ParameterError(f"the number {self.text} cannot be written as JSON")
        return self.text


class Absent:
    """The type of `ABSENT`: a dependency without an event in this firing, and no default; normal with `||`."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


class Source:
    """Where one value comes from, compiled. `where` is the parameter's place in the object, for errors."""

    def __init__(self, spec: TriggerParameterSource, where: str = "") -> None:
        """UserError when a key is not a path."""
        self.dependency, self._where = spec.dependency_name, where
        self._default = None if spec.value is None else Value(spec.value)
        self._is_data = bool(spec.data_key or spec.data_template)
        key = spec.data_key if self._is_data else spec.context_key
        self._key = _path(key, where) if key else None
        text = spec.data_template if self._is_data else spec.context_template
        self._template = _Template(text) if text else None

    def resolve(self, events: Events) -> Value | Absent:
        """The value in these events (contract C.2); ParameterError when there is none and no default."""
        return self.within(_Roots(events))

    def within(self, roots: _Roots) -> Value | Absent:
        """The same, with documents that other parameters have made."""
        event = roots.events.get(self.dependency)
        if event is None:
            return self._default or ABSENT
        if self._key is None and self._template is None:
            return self._default or Value(describe(event))
        try:
            return self._found(roots, event)
        except (ParameterError, InvalidPath) as error:
            if self._default is not None:
                return self._default
            raise ParameterError(f"{self._where} ({self.dependency}): {error}".lstrip()) from error

    def _found(self, roots: _Roots, event: Event) -> Value:
        """What the template makes, else what the key leads to."""
        root = roots.document(self.dependency) if self._is_data else roots.context(event)
        failure = ""
        if self._template is not None:
            try:
                return Value(self._template.render(roots.tree(self.dependency) if self._is_data else event.context()))
            except ParameterError as error:
                if self._key is None:
                    raise
                failure = f"{error}; "
        assert self._key is not None
        return self._read(self._key, root, failure)

    def _read(self, key: paths.Path, root: Document, failure: str) -> Value:
        found = root.get(key)
        if not found.exists:
            raise ParameterError(f"{failure}there is no {'data' if self._is_data else 'context'}.{key.text}")
        if found.kind is Kind.JSON:
            return Value(found.raw, Kind.JSON)
        return Value("null" if found.kind is Kind.NULL else found.text, found.kind)


class _Template:
    """A Go template; one that cannot be compiled gives no value, so that the key or the default counts."""

    def __init__(self, text: str) -> None:
        # Only now: most parameters have no template, and the library takes 200 ms to load.
        from events import templates

        self._error = ""
        self._text = _shown(text)
        try:
            self._render: Callable[[Any], str] = templates.compile(text).render
        except UserError as error:
            self._error = f"the template {self._text}: {error}"
        self._value = templates.rendered_or_none

    def render(self, data: Any) -> str:
        """Its text; ParameterError when there is none."""
        if self._error:
            raise ParameterError(self._error)
        text = self._value(self._render(data))
        if text is None:
            raise ParameterError(f"the template {self._text} gives nothing")
        return text


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


class _Roots:
    """The documents that keys lead into, each made at most once for all parameters of a firing."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._made: dict[str, str] = {}
        self._trees: dict[str, Any] = {}

    def data(self, dependency: str) -> str:
        """The data of a dependency's event as JSON text; ParameterError when it is neither JSON nor YAML."""
        text = self._made.get(dependency)
        if text is None:
            text = self._made[dependency] = _data(self.events[dependency])
        return text

    def document(self, dependency: str) -> Document:
        """The same, to read paths from."""
        event = self.events[dependency]
        known = event.document() if event.datacontenttype == JSON_TYPE else None
        return known if known is not None else Document(self.data(dependency))

    def tree(self, dependency: str) -> Any:
        """The same, parsed; ParameterError when that is not possible."""
        if dependency not in self._trees:
            try:
                self._trees[dependency] = rawjson.first_wins(self.data(dependency))
            except (ValueError, RecursionError) as error:
                raise ParameterError(f"the data cannot be read: {error}") from error
        return self._trees[dependency]

    def context(self, event: Event) -> Document:
        """The attributes of an event, to read paths from."""
        return Document(rawjson.escape(orjson.dumps(event.context())).decode())


def _data(event: Event) -> str:
    # Bytes that are not UTF-8 stay what they are until they are written.
    text = (event.data or b"").decode("utf-8", "surrogateescape")
    if event.datacontenttype == JSON_TYPE:
        try:
            event.tree()  # parsed once for all readers of this event
        except ValueError:
            if event.data is None or not paths.is_valid(_UNDECODED.sub("�", text)):
                raise ParameterError("the data is not JSON") from None
        return text
    if event.datacontenttype == YAML_TYPE:
        try:
            documents = yamls.load_all(text)
            return rawjson.dumps(documents[0] if documents else None).decode()
        except (UserError, TypeError) as error:
            raise ParameterError(f"the data is not YAML: {error}") from error
    raise ParameterError(f"the data is neither {JSON_TYPE} nor {YAML_TYPE}, but {event.datacontenttype!r}")


def _path(text: str, where: str) -> paths.Path:
    try:
        return paths.compile_path(text)
    except InvalidPath as error:
        raise UserError(str(error), path=where) from error


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One parameter, compiled."""

    where: str
    source: Source
    dest: str
    operation: str
    is_raw: bool

    def applied(self, value: Value, document: str) -> str:
        """The document with the value written into it, or added to the text that is there."""
        if self.operation not in OPERATIONS:
            raise ParameterError(f"unknown operation {self.operation!r}")
        if self.operation in ("append", "prepend"):
            present = paths.read(document, self.dest)
            if present.exists:
                text = present.text + value.text if self.operation == "append" else value.text + present.text
                return paths.write(document, self.dest, text)
        return self.written(value, document)

    def written(self, value: Value, document: str) -> str:
        """The document with the value in place of what is there."""
        return paths.write_raw(document, self.dest, value.as_json(is_raw=self.is_raw))

    def failure(self, error: Exception) -> ParameterError:
        """An error of this parameter, saying so."""
        return ParameterError(f"{self.where} ({self.source.dependency}): {error}")


class Parameters:
    """A list of parameters, compiled."""

    def __init__(self, items: Sequence[_Parameter]) -> None:
        self._items = tuple(items)
        self._places = _plain_places([item.dest for item in items])

    def __bool__(self) -> bool:
        return bool(self._items)

    def apply(self, document: str, events: Events) -> str:
        """A JSON document with the values written into it, each seeing the one before (contract C.3)."""
        if not self._items:
            return document
        for item, value in self._present(_Roots(events)):
            try:
                document = item.applied(value, document)
            except (ParameterError, InvalidPath) as error:
                raise item.failure(error) from error
        return _UNDECODED.sub("�", document)

    def apply_to_template(self, template: TriggerTemplate, events: Events) -> TriggerTemplate:
        """A template with the values written into its JSON, read again as Go reads it (contract C.4, step 1)."""
        return decoding.template(self.apply(decoding.document(template), events))

    def payload(self, events: Events) -> bytes:
        """A new document of the values (contract C.5); empty when there are none."""
        roots = _Roots(events)
        text = self._built(roots) if self._places is None else self._placed(roots, self._places)
        return text.encode("utf-8", "surrogateescape")

    def values(self, events: Events) -> Iterator[tuple[str, str]]:
        """(dest, text) of every value that is there: the headers of a request."""
        for item, value in self._present(_Roots(events)):
            yield item.dest, _UNDECODED.sub("�", value.text)

    def _present(self, roots: _Roots) -> Iterator[tuple[_Parameter, Value]]:
        for item in self._items:
            value = item.source.within(roots)
            if not isinstance(value, Absent):
                yield item, value

    def _placed(self, roots: _Roots, places: Mapping[str, tuple[str, ...]]) -> str:
        """The payload when all places are plain: gathered in a tree and written once."""
        root: dict[str, Any] = {}
        for item, value in self._present(roots):
            parent, place = root, places[item.dest]
            for step in place[:-1]:
                parent = parent.setdefault(step, {})
            try:
                parent[place[-1]] = value.as_json(is_raw=item.is_raw)
            except ParameterError as error:
                raise item.failure(error) from error
        return _rendered(root) if root else ""

    def _built(self, roots: _Roots) -> str:
        """The payload in general: written step by step."""
        document = ""
        for item, value in self._present(roots):
            if not item.dest:
                return value.text
            try:
                document = item.written(value, document)
            except (ParameterError, InvalidPath) as error:
                raise item.failure(error) from error
        return document


def compile(parameters: Iterable[TriggerParameter] | None, where: str = "parameters") -> Parameters:
    """Parameters to be used for every event; UserError when one has no source or its key is not a path."""
    items = []
    for index, spec in enumerate(parameters or ()):
        here = f"{where}[{index}]"
        if spec.src is None:
            raise UserError("required", path=f"{here}.src", cure="say where the value comes from")
        source = Source(spec.src, here)
        items.append(_Parameter(here, source, spec.dest, spec.operation or "", bool(spec.src.use_raw_data)))
    return Parameters(items)


def resolve(src: TriggerParameterSource, events: Events) -> Value | Absent:
    """The value of one source in these events (contract C.2)."""
    return Source(src, "src").resolve(events)


def _plain_places(dests: Sequence[str]) -> Mapping[str, tuple[str, ...]] | None:
    """The steps to every place; None unless all are plain and none is inside another."""
    if not all(_PLAIN_DEST.fullmatch(dest) for dest in dests):
        return None
    inside = {dest[:at] for dest in dests for at, char in enumerate(dest) if char == "."}
    return None if inside.intersection(dests) else {dest: tuple(dest.split(".")) for dest in dests}


def _rendered(tree: Mapping[str, Any]) -> str:
    members = (f'"{k}":{v if isinstance(v, str) else _rendered(v)}' for k, v in tree.items())
    return f"{{{','.join(members)}}}"


def validate(
    parameters: Sequence[TriggerParameter] | None,
    problems: Problems,
    *,
    is_payload: bool = False,
    needs_dest: bool | None = None,
) -> None:
    """Contract D.15 for a list of parameters, with paths relative to it.

    In a payload `dest` may be empty, and the document starts empty; `needs_dest` is for kinds that ask for one.
    """
    needs_dest = not is_payload if needs_dest is None else needs_dest
    for index, spec in enumerate(parameters or ()):
        here = problems.at(f"[{index}]")
        if spec.src is None:
            here.error("src", "required", "say where the value comes from")
        else:
            validate_source(spec.src, here.at("src"))
        if not spec.dest and needs_dest:
            here.error("dest", "required", "say where the value is written")
        if (spec.operation or "") not in OPERATIONS:
            cure = did_you_mean(spec.operation or "", OPERATIONS[1:]) or "overwrite, append or prepend"
            here.error("operation", f"unknown operation {spec.operation!r}", cure)
        if is_payload and _OPERATOR.search(spec.dest):
            here.warn("dest", "| # @ * ? only replace what is there, and a payload starts empty", "escape it with \\")


def validate_unchecked(
    parameters: Sequence[TriggerParameter] | None, problems: Problems, *, is_payload: bool = False
) -> None:
    """The same for a list that upstream does not look at, so that an object with a wrong entry may be in use.

    Only warned about, but for what never compiles. Paths are relative to the list.
    """
    found = Problems()
    validate(parameters, found, is_payload=is_payload)
    for problem in found:
        is_template = problem.path.endswith("Template")
        if problem.severity is Severity.ERROR and not is_template:
            problems.warn(problem.path, f"{problem.message}: every attempt fails", problem.cure)
        else:
            problems.extend([problem])


def validate_source(src: TriggerParameterSource, problems: Problems) -> None:
    """What is wrong with where a value comes from; paths are relative to it."""
    if not src.dependency_name:
        problems.error("dependencyName", "required")
    for field, template in (("contextTemplate", src.context_template), ("dataTemplate", src.data_template)):
        if template:
            from events import templates

            try:
                templates.compile(template)
            except UserError as error:
                # With something to fall back on, upstream does so for every event.
                has_more = src.value is not None or getattr(src, f"{field.removesuffix('Template')}_key")
                (problems.warn if has_more else problems.error)(field, error.message, error.cure)
    for field, key in (("contextKey", src.context_key), ("dataKey", src.data_key)):
        try:
            paths.compile_path(key or "")
        except InvalidPath as error:
            problems.error(field, str(error))


def validate_names(parameters: Sequence[TriggerParameter], names: Sequence[str], problems: Problems) -> None:
    """Warn about dependencies the Sensor has not: such a value is never there."""
    for index, spec in enumerate(parameters):
        name = spec.src.dependency_name if spec.src else ""
        if name and name not in names:
            message = f"there is no dependency {name!r}: its value is always the default, or left out"
            problems.warn(f"[{index}].src.dependencyName", message, did_you_mean(name, names))
