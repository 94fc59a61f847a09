"""The event that the expression tests look at."""

from __future__ import annotations

import json

EVENT = {
    "body": {
        "action": "opened",
        "n": 7,
        "f": 1.5,
        "neg": -2,
        "big": 9007199254740993,
        "t": True,
        "nul": None,
        "list": ["a", "b"],
        "nums": [3, 1, 2],
        "mixed": [1, "a", None, True, [1], {"k": 1}],
        "objs": [{"k": "x", "v": 2}, {"k": "y", "v": 1}],
        "o": {"p": {"q": "deep"}},
        "s": "Hello World",
        "empty": "",
        "num_s": "12",
        "json": '{"a":{"b":5}}',
        "date": "2026-03-14",
        "el": [],
        "eo": {},
        "u": "żółw é",
        "h": 1e21,
        "sm": 1e-7,
    },
    "headers": {"X-Event": ["push"]},
    "x": 5,
    "dash-key": "dv",
    "a.b": "dotted",
}
DATA = json.dumps(EVENT).encode()
