"""`keryx lint`: what is said of the text of one file, and in which form."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import yamls
from events.app import lint

HEAD = "apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata:\n  name: s\n"
GOOD = f"""{HEAD}spec:
  dependencies:
  - name: d
    eventSourceName: a
    eventName: b
  triggers:
  - template:
      name: t
      log: {{}}
"""
BAD = GOOD + "      policy: {}\n    retryStrategy: {steps: 2}\n"


def text(content: str) -> list[str]:
    return list(lint.text(list(lint.check_text("f.yaml", content))))


def test_the_lines_are_argo_events() -> None:
    assert text(GOOD) == ["✓ f.yaml: Sensor is valid"]
    assert text(f"{GOOD}---\n{BAD}") == [
        "✓ f.yaml (document 1): Sensor is valid",
        "✗ f.yaml (document 2): Sensor validation failed",
        "  Error: 28:7: spec.triggers[0].template.policy: belongs beside `template`, not in it"
        " (move it there: where it is, Argo Events ignores it)",
    ]
    assert text(f"{GOOD}    retryStrategy: {{steps: 2}}\n") == [
        "! f.yaml: Sensor is valid, with warnings",
        "  Warning: 14:5: spec.triggers[0].retryStrategy: has no effect without atLeastOnce: there is one attempt"
        " (set atLeastOnce: true)",
    ]


def test_what_kubectl_prints_is_as_good_as_what_was_applied() -> None:
    stored = GOOD.replace(
        "  name: s\n",
        "  name: s\n  resourceVersion: '7'\n  finalizers: [sensor-controller]\n  managedFields: [{manager: kubectl}]\n",
    )
    stored += "status:\n  conditions: []\n  later: 1\n"
    assert text(stored) == ["✓ f.yaml: Sensor is valid"]
    assert "metadata.lables" in text(GOOD.replace("  name: s\n", "  name: s\n  lables: {}\n"))[1]


@pytest.mark.parametrize(
    ("content", "severity", "line", "column", "path"),
    [
        (GOOD.replace("eventName: b", "eventName: b.c"), "error", 9, 5, "spec.dependencies[0].eventName"),
        (GOOD.replace("name: d", "name: 1d"), "error", 7, 5, "spec.dependencies[0].name"),
        (GOOD.replace("    eventName: b\n", ""), "error", 7, 5, "spec.dependencies[0].eventName"),
        (GOOD.replace("log: {}", "logg: {}"), "error", 13, 7, "spec.triggers[0].template.logg"),
        (GOOD.replace("log: {}", "sqs: {}"), "error", 13, 7, "spec.triggers[0].template.sqs"),
        (
            GOOD.replace("      log", "      conditions: d && e\n      log"),
            "error",
            13,
            7,
            "spec.triggers[0].template.conditions",
        ),
        (GOOD.replace("Sensor", "Sensr"), "error", 2, 1, "kind"),
        (GOOD.replace("/v1alpha1", "/v1"), "error", 1, 1, "apiVersion"),
        (GOOD.replace("  name: s", "  nam: s"), "error", 3, 1, "metadata.name"),
        (f"{GOOD}      log: {{}}\n", "warning", 14, 7, ""),
        ("a: [b", "error", 2, 1, ""),
        (
            f"kind: List\nitems:\n- kind: Pod\n- {GOOD[:-1].replace(chr(10), chr(10) + '  ')}\n    x: 1\n",
            "error",
            17,
            5,
            "spec.x",
        ),
    ],
)
def test_a_problem_has_its_place(content: str, severity: str, line: int, column: int, path: str) -> None:
    found = [problem for one in lint.check_text("f.yaml", content) for problem in one.problems]
    assert (severity, line, column, path) in [
        (problem.severity.value, problem.line, problem.column, problem.path) for problem in found
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing",
        "- a\n- b",
        "text",
        "a: 1\na: 2",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: 5",
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}",
        "apiVersion: apps/v1\nkind: Deployment",
        "kind: [Sensor]",
    ],
)
def test_what_is_not_ours_is_left_out(content: str) -> None:
    assert text(content) == []


def test_a_generated_name_is_a_name() -> None:
    assert text(GOOD.replace("  name: s", "  generateName: s-", 1)) == ["✓ f.yaml: Sensor is valid"]


def test_json_is_a_list_of_objects() -> None:
    [line] = lint.as_json(list(lint.check_text("f.yaml", BAD)))
    [problem] = json.loads(line)
    assert problem == {
        "file": "f.yaml",
        "document": 1,
        "line": 14,
        "column": 7,
        "object": "Sensor/s",
        "path": "spec.triggers[0].template.policy",
        "severity": "error",
        "message": "belongs beside `template`, not in it",
        "cure": "move it there: where it is, Argo Events ignores it",
    }
    assert list(lint.as_json([])) == ["[]"]


def test_github_gets_workflow_commands() -> None:
    content = GOOD.replace("name: s", 'name: "a,b%\\n::error::"', 1).replace("log: {}", '"x\\ny": {}')
    found = list(lint.github(list(lint.check_text("f:1,2.yaml", content))))
    assert found[0].startswith("::error file=f%3A1%2C2.yaml,line=13,col=7,title=Sensor/a%2Cb%25%0A%3A%3Aerror%3A%3A::")
    assert not any("\n" in line for line in found)


@pytest.mark.parametrize(
    ("content", "code", "strict"), [(GOOD, 0, 0), (BAD, 1, 1), (f"{GOOD}    Parameters: []\n", 0, 1), ("", 0, 0)]
)
def test_the_exit_code_says_whether_it_is_good(content: str, code: int, strict: int) -> None:
    checked = list(lint.check_text("f.yaml", content))
    assert lint.exit_code(checked, is_strict=False) == code
    assert lint.exit_code(checked, is_strict=True) == strict


# ---- mutated manifests

FOLDER = Path(__file__).parents[2] / "examples"
MANIFESTS = sorted(path.read_text() for path in FOLDER.rglob("*.yaml"))
OBJECTS = [document for text in MANIFESTS for document in yamls.load_all(text)]
KEYS = [
    "name",
    "spec",
    "template",
    "triggers",
    "policy",
    "http",
    "k8s",
    "webhook",
    "calendar",
    "filters",
    "data",
    "",
    "[0]",
    "a.b",
]
KEYS += [
    "transform",
    "jmespath",
    "parameters",
    "src",
    "dlqTrigger",
    "rateLimit",
    "jetstream",
    "nats",
    "\ud800",
    "é\n",
    "metadata",
]
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["&&", "* * 31 2 *", "{{", "$[", "(?<", "9" * 500, "\x00", "\ud800", "1h", "#(", "a|b", "^["]),
    st.sampled_from([[], {}, [[]], [{}], {"name": {}}, {"kinds": {}}, {"template": {"template": []}}, [None, 1, "a"]]),
)


def places(value: Any) -> list[Any]:
    """Every container in a tree."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [value] if isinstance(value, dict | list) else []
    return found + [place for one in inner for place in places(one)]


def mutate(obj: Any, choose: random.Random, value: Any) -> None:
    """Change one thing in a tree, in place."""
    place = choose.choice(places(obj) or [[]])
    if isinstance(place, list):
        at = choose.randrange(len(place) + 1)
        choose.choice(
            [lambda: place.insert(at, value), lambda: place.clear(), lambda: place.__setitem__(slice(at), [value])]
        )()
        return
    key = choose.choice([*place, choose.choice(KEYS)])
    choose.choice(
        [
            lambda: place.pop(key, None),
            lambda: place.__setitem__(key, value),
            lambda: place.__setitem__(choose.choice(KEYS), place.pop(key, value)),
            lambda: place.__setitem__(key, [place.get(key)]),
            lambda: place.__setitem__(key, {choose.choice(KEYS): place.get(key)}),
        ]
    )()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(OBJECTS), st.randoms(use_true_random=False), st.lists(odd, min_size=1, max_size=6))
def test_any_mutated_object_is_checked_without_a_traceback(obj: Any, choose: random.Random, values: list[Any]) -> None:
    mutated = json.loads(json.dumps(obj))
    for value in values:
        mutate(mutated, choose, json.loads(json.dumps(value)))
    shown(json.dumps(mutated))


LINES = [
    "---",
    "  - *x",
    "x: &x",
    "  <<: *x",
    "- ",
    "\t",
    "spec: &s {a: *s}",
    "? {}",
    "[" * 300,
    "{a: " * 250,
    "!!binary x",
    ": :",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MANIFESTS), st.randoms(use_true_random=False), st.lists(st.sampled_from(LINES), max_size=4))
def test_any_mutated_text_is_checked_without_a_traceback(text: str, choose: random.Random, lines: list[str]) -> None:
    written = text.splitlines()
    for _ in range(choose.randrange(4)):
        at = choose.randrange(len(written))
        choose.choice(
            [
                lambda at=at: written.pop(at) if len(written) > 1 else None,
                lambda at=at: written.insert(at, written[at]),
                lambda at=at: written.__setitem__(at, written[at][1:]),
                lambda at=at: written.__setitem__(at, f"  {written[at]}"),
            ]
        )()
    for line in lines:
        written.insert(choose.randrange(len(written) + 1), line)
    shown("\n".join(written))


def shown(content: str) -> None:
    checked = list(lint.check_text("f.yaml", content))
    for render in lint.FORMATS.values():
        for line in render(checked):
            assert isinstance(line, str)
    lint.exit_code(checked, is_strict=True)
