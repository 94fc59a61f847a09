"""The functions that templates may call: those of text/template and sprig, called as strictly as Go calls them.

Implementations are gotpl's except where ours say otherwise. Left out is whatever reaches out of the template (`env`,
`expandenv`, `getHostByName`) or is made to be slow (keys, certificates, password hashes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from events.expressions.expr import types
from events.expressions.expr.layouts import RFC3339_NANO
from events.expressions.expr.sprig_signatures import SIGNATURES
from events.expressions.expr.values import Chunks, Int64, Ints, Strings
from events.templates.builtins import BUILTINS
from events.templates.dates import DATES, in_zone
from events.templates.formatting import text
from events.templates.limits import TooMuch, allowance, check_count, within_text
from events.templates.regexes import REGEXES
from events.templates.values import MISSING, Map, Moment, StringMap, decoded, go_kind, go_type

REACHING_OUT = frozenset(("env", "expandenv", "getHostByName"))
SLOW = frozenset(
    (
        *("bcrypt", "htpasswd", "derivePassword", "encryptAES", "decryptAES", "genPrivateKey", "buildCustomCert"),
        *("genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey"),
        *("genSignedCert", "genSignedCertWithKey"),
    )
)
_RANDOM = ("randAlpha", "randAlphaNum", "randAscii", "randNumeric", "randBytes")
_COUNTED = frozenset(("repeat", "indent", "nindent", "until", *_RANDOM))
_CHANGING = frozenset(("set", "merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite"))
_STORING = _CHANGING | frozenset(
    (
        *("list", "tuple", "dict", "append", "push", "prepend", "concat", "deepCopy"),
        *("mustAppend", "mustPush", "mustPrepend", "mustDeepCopy"),
    )
)
_WRITING_JSON = ("toJson", "toPrettyJson", "toRawJson", "mustToJson", "mustToPrettyJson", "mustToRawJson")


@lru_cache(maxsize=1)
def functions() -> Mapping[str, Callable[..., Any]]:
    """All functions by name."""
    # Only now: most objects have no templates, and the library takes 200 ms to load.
    from gotpl.funcs.sprig import generic_func_map

    library: dict[str, Callable[..., Any]] = dict(generic_func_map())
    implementations = {name: library[name] for name in SIGNATURES} | dict(REGEXES) | dict(DATES) | dict(_OWN)
    for name in _WRITING_JSON:
        implementations[name] = _json_writer(implementations[name])
    found = {name: _guarded(name, call) for name, call in BUILTINS.items()}
    return MappingProxyType(found | {name: _typed(name, call) for name, call in implementations.items()})


def _json_writer(write: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value: write(in_zone(RFC3339_NANO, value) if isinstance(value, Moment) else value)


def _guarded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A function that stops when time is up, sees nil for what is missing, and gives no more than it may."""

    def run(*given: Any) -> Any:
        allowance.get().check_time()
        return within_text(name, call(*(value if type(value) in _PLAIN else _nil(value) for value in given)))

    run.__name__ = name
    return run


_PLAIN = frozenset((str, int, float, bool, list, Map))


def _nil(value: Any) -> Any:
    return None if value is MISSING or type(value).__name__ in ("_InvalidValue", "_UntypedNil") else value


def _typed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A function of sprig, its arguments checked and its result typed as its Go signature says."""
    signature = types.parse(SIGNATURES[name])
    wanted = [one.name for one in signature.params]
    fixed = len(wanted) - signature.variadic
    convert = _RESULTS.get(signature.results[0].name)
    counts, stores, first = name in _COUNTED, name in _STORING, int(name in _CHANGING)

    def run(*given: Any) -> Any:
        if len(given) < fixed or (len(given) > fixed and not signature.variadic):
            raise TypeError(f"wrong number of args for {name}: want {fixed} got {len(given)}")
        checked = [_checked(value, wanted[min(at, len(wanted) - 1)]) for at, value in enumerate(given)]
        if counts:
            _check_count(name, checked)
        if stores:
            copied = allowance.get().copied
            checked[first:] = [copied(value) for value in checked[first:]]
        result = call(*checked)
        if hasattr(result, "error") and hasattr(result, "value"):
            if result.error is not None:
                raise result.error
            result = result.value
        return result if convert is None else convert(result)

    return _guarded(name, run)


_ACCEPTED: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"string": (str,), "int": (int,), "bool": (bool,), "float64": (float, int), "time.Time": (Moment,)}
)


def _checked(value: Any, wanted: str) -> Any:
    """An argument as Go hands it over; TypeError when it would not."""
    if wanted == "any":
        return value
    if wanted == "map[string]any":
        if value is None:
            return Map()
        if type(value) in (Map, dict):
            return value
    elif type(value) in _ACCEPTED.get(wanted, ()):
        return value
    if value is None:
        raise TypeError(f"invalid value; expected {wanted}")
    raise TypeError(f"wrong type for value; expected {wanted}; got {go_type(value)}")


def _check_count(name: str, given: list[Any]) -> None:
    longest = max((len(value) for value in given if type(value) is str), default=1)
    check_count(given[0], 1 + given[1].count("\n") if name in ("indent", "nindent") else longest)


def _any(value: Any) -> Any:
    if type(value) is dict:
        return Map(value)
    if value is None or type(value).__name__ == "NilSlice":
        return None if value is None else []
    return value


_RESULTS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "int64": Int64,
        "float64": float,
        "[]string": lambda value: Strings(value or ()),
        "[]int": Ints,
        "[][]any": Chunks,
        "map[string]string": StringMap,
        "map[string]any": lambda value: value if type(value) is Map else Map(value),
        "[]any": lambda value: list(value) if value is not None else [],
        "any": _any,
    }
)


# Where gotpl's function is not Go's, or is slow.


def _round(value: Any, places: int, *options: float) -> float:
    number, threshold = _float64(value), options[0] if options else 0.5
    try:
        power = math.pow(10, places)
    except OverflowError:
        power = math.inf
    digit = power * number
    if not math.isfinite(digit) or not power:
        return math.nan
    fraction = math.modf(digit)[0]
    return float(math.ceil(digit) if fraction >= threshold else math.floor(digit)) / power


def _float64(value: Any) -> float:
    from gotpl.funcs.sprig.numeric import to_float64

    return float(to_float64(value))


def _sequence(*given: int) -> str:
    from gotpl.funcs.sprig.numeric import seq

    if given:
        _check_span(given[0] if len(given) > 1 else 1, given[-1], given[1] if len(given) == 3 else 1)
    return str(seq(*given))


def _until_step(start: int, stop: int, step: int) -> list[int]:
    _check_span(start, stop, step)
    is_empty = (stop < start and step >= 0) or (stop >= start and step <= 0)
    return [] if is_empty else list(range(start, stop, step))


def _check_span(start: int, stop: int, step: int) -> None:
    check_count((stop - start) / (abs(step) or 1))


def _uniq(values: Any) -> list[Any]:
    """Without what was there before; texts and numbers by hash, so that long lists do not take their square."""
    from gotpl.funcs.sprig.lists import uniq

    if not isinstance(values, list) or any(isinstance(value, (list, dict)) for value in values):
        if isinstance(values, list) and len(values) > _MAX_COMPARED:
            raise TooMuch(f"uniq of more than {_MAX_COMPARED} lists or objects")
        return uniq(values)
    return list({(type(value), value): value for value in values}.values())


_MAX_COMPARED = 300


def _has(needle: Any, values: Any) -> bool:
    from gotpl.funcs.sprig.lists import has

    return values is not None and bool(has(needle, values))


def _cased(name: str) -> Callable[[str], str]:
    def run(value: str) -> str:
        if value.isascii():
            return value.upper() if name == "upper" else value.lower()
        from gotpl.funcs.sprig import strings

        return str(getattr(strings, name)(value))

    return run


def _from_json(value: str) -> Any:
    from gotpl.funcs.sprig.defaults import must_from_json

    result = must_from_json(value)
    if result.error is not None:
        raise result.error
    return decoded(result.value)


def _lenient_from_json(value: str) -> Any:
    try:
        return _from_json(value)
    except (ValueError, TypeError):
        return None


def _merge(target: Map, *sources: Map) -> Any:
    """What is nil does not get in, as of mergo."""
    from gotpl.funcs.sprig.dicts import merge

    return merge(target, *map(_without_nil, sources))


def _without_nil(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return Map((key, _without_nil(item)) for key, item in value.items() if item is not None)


def _deep_copy(value: Any) -> Any:
    if value is None:
        raise TypeError("nil cannot be copied")
    return value  # as a storing function it is given a copy


_OWN: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "round": _round,
        "merge": _merge,
        "mustMerge": _merge,
        "deepCopy": _deep_copy,
        "mustDeepCopy": _deep_copy,
        "seq": _sequence,
        "untilStep": _until_step,
        "uniq": _uniq,
        "mustUniq": _uniq,
        "has": _has,
        "mustHas": _has,
        "upper": _cased("upper"),
        "lower": _cased("lower"),
        "fromJson": _lenient_from_json,
        "mustFromJson": _from_json,
        "toString": text,
        "nospace": lambda value: "".join(char for char in value if not char.isspace() or char in "\x1c\x1d\x1e\x1f"),
        "typeOf": go_type,
        "typeIs": lambda target, value: go_type(value) == target,
        "typeIsLike": lambda target, value: go_type(value) in (target, f"*{target}"),
        "kindOf": go_kind,
        "kindIs": lambda target, value: go_kind(value) == target,
    }
)
