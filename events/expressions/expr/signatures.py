"""What built-ins and methods take and give: facts of expr 1.15 and of Go, as Go writes them.

A built-in with several lines is tried line by line. Those with `ARITY` say themselves what they take.
"""

from __future__ import annotations

PREDICATES = frozenset(
    [
        "all",
        "none",
        "any",
        "one",
        "filter",
        "map",
        "find",
        "findIndex",
        "findLast",
        "findLastIndex",
        "count",
        "groupBy",
        "reduce",
    ]
)
"""Built-ins whose second argument is a closure."""

OVERLOADS: dict[str, tuple[str, ...]] = {
    "type": ("func(any) string",),
    "string": ("func(any) string",),
    "trim": ("func(string) string", "func(string, string) string"),
    "trimPrefix": ("func(string, string) string", "func(string) string"),
    "trimSuffix": ("func(string, string) string", "func(string) string"),
    "upper": ("func(string) string",),
    "lower": ("func(string) string",),
    "split": ("func(string, string) []string", "func(string, string, int) []string"),
    "splitAfter": ("func(string, string) []string", "func(string, string, int) []string"),
    "replace": ("func(string, string, string, int) string", "func(string, string, string) string"),
    "repeat": ("func(string, int) string",),
    "join": (
        "func([]string, string) string",
        "func([]any, string) string",
        "func([]any) string",
        "func([]string, string) string",
        "func([]string) string",
    ),
    "indexOf": ("func(string, string) int",),
    "lastIndexOf": ("func(string, string) int",),
    "hasPrefix": ("func(string, string) bool",),
    "hasSuffix": ("func(string, string) bool",),
    "toJSON": ("func(any) string",),
    "fromJSON": ("func(string) any",),
    "toBase64": ("func(string) string",),
    "fromBase64": ("func(string) string",),
    "now": ("func() time.Time",),
    "duration": ("func(string) time.Duration",),
    "date": (
        "func(string) time.Time",
        "func(string, string) time.Time",
        "func(string, string, string) time.Time",
    ),
}

_NUMBERS = "int int64 uint8 float64 interface"
ARITY: dict[str, tuple[int, int, tuple[str, ...], str]] = {
    "len": (1, 1, ("slice map string interface",), "int"),
    "abs": (1, 1, (_NUMBERS,), "first"),
    "ceil": (1, 1, (_NUMBERS,), "float64"),
    "floor": (1, 1, (_NUMBERS,), "float64"),
    "round": (1, 1, (_NUMBERS,), "float64"),
    "int": (1, 1, (_NUMBERS + " string",), "int"),
    "float": (1, 1, (_NUMBERS + " string",), "float64"),
    "sum": (1, 1, ("interface slice",), "any"),
    "mean": (1, 1, ("interface slice",), "float64"),
    "median": (1, 1, ("interface slice",), "float64"),
    "first": (1, 1, ("interface slice",), "element"),
    "last": (1, 1, ("interface slice",), "element"),
    "take": (2, 2, ("interface slice", "interface int int64"), "first"),
    "keys": (1, 1, ("interface map",), "[]any"),
    "values": (1, 1, ("interface map",), "[]any"),
    "toPairs": (1, 1, ("interface map",), "[]any"),
    "fromPairs": (1, 1, ("interface slice",), "map[any]any"),
    "sort": (1, 2, ("interface slice", "string interface"), "[]any"),
    "sortBy": (2, 3, ("interface slice", "string interface", "string interface"), "[]any"),
}
"""Fewest and most arguments, the kinds each may have, and what comes out."""

BUILTINS = PREDICATES | OVERLOADS.keys() | ARITY.keys() | {"get", "max", "min"}
"""Every name that cannot be a function of the environment."""

METHODS: dict[str, dict[str, str]] = {
    "time.Time": {
        **dict.fromkeys(["Year", "Day", "Hour", "Minute", "Second", "Nanosecond", "YearDay"], "func() int"),
        **dict.fromkeys(["Unix", "UnixMilli", "UnixMicro", "UnixNano"], "func() int64"),
        **dict.fromkeys(["UTC", "Local"], "func() time.Time"),
        **dict.fromkeys(["After", "Before", "Equal"], "func(time.Time) bool"),
        **dict.fromkeys(["Round", "Truncate", "Add"], "func(time.Duration) time.Time"),
        "Month": "func() time.Month",
        "Weekday": "func() time.Weekday",
        "IsZero": "func() bool",
        "IsDST": "func() bool",
        "String": "func() string",
        "Format": "func(string) string",
        "Sub": "func(time.Time) time.Duration",
        "Compare": "func(time.Time) int",
        "AddDate": "func(int, int, int) time.Time",
        "In": "func(*time.Location) time.Time",
        "Location": "func() *time.Location",
        "Zone": "func() (string, int)",
        "ISOWeek": "func() (int, int)",
        "Date": "func() (int, time.Month, int)",
        "Clock": "func() (int, int, int)",
    },
    "time.Duration": {
        **dict.fromkeys(["Hours", "Minutes", "Seconds"], "func() float64"),
        **dict.fromkeys(["Milliseconds", "Microseconds", "Nanoseconds"], "func() int64"),
        **dict.fromkeys(["Round", "Truncate"], "func(time.Duration) time.Duration"),
        "Abs": "func() time.Duration",
        "String": "func() string",
    },
    "time.Month": {"String": "func() string"},
    "time.Weekday": {"String": "func() string"},
    "*time.Location": {"String": "func() string"},
}
"""Methods by type; those of three results cannot be called."""
