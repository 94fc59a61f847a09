"""Where the fields of manifests stand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import yaml_positions, yamls
from events.errors import UserError

TEXT = """\
# a comment
kind: Sensor
metadata: {name: s, labels: {app.kubernetes.io/name: x}}
spec:
  triggers:
  - template:
      name: t
      "quoted":
        - [1, {deep: 2}]
    policy:
  -   template: &t
        log: {}
  - *t
  - <<: *t
    name: m
  my.event:
    port: 1
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", (2, 1)),
        ("kind", (2, 1)),
        ("metadata.name", (3, 12)),
        ("metadata.labels.app.kubernetes.io/name", (3, 30)),
        ("spec.triggers", (5, 3)),
        ("spec.triggers[0]", (6, 5)),
        ("spec.triggers[0].template.name", (7, 7)),
        ("spec.triggers[0].template.quoted[0][1].deep", (9, 16)),
        ("spec.triggers[0].policy", (10, 5)),
        ("spec.triggers[0].policy.status.allow", (10, 5)),
        ("spec.triggers[0].template.missing", (6, 5)),
        ("spec.triggers[1].template.log", (12, 9)),
        ("spec.triggers[2].log", (13, 5)),
        ("spec.triggers[3].log", (14, 5)),
        ("spec.triggers[3].name", (15, 5)),
        ("spec.triggers[9].template", (5, 3)),
        ("spec.triggers[x", (5, 3)),
        ("spec.my.event.port", (17, 5)),
        ("nothing", (2, 1)),
        ("kind[0].x", (2, 1)),
        ("spec.triggers[99999999999999999999999999]", (5, 3)),
    ],
)
def test_a_field_or_the_nearest_around_it_has_a_place(path: str, place: tuple[int, int]) -> None:
    [root] = yaml_positions.documents(TEXT)
    assert yaml_positions.find(root, path) == place


def test_documents_are_counted_as_they_are_read() -> None:
    text = "---\n# nothing\n---\na: 1\n---\n~\n---\n\n---\n- b\n---\ntext\n"
    roots = yaml_positions.documents(text)
    assert len(roots) == len(yamls.load_all(text))
    assert [yaml_positions.find(root, "") for root in roots] == [(4, 1), (10, 1), (12, 1)]


def test_of_a_key_given_twice_the_last_one_counts() -> None:
    [root] = yaml_positions.documents("a: 1\na:\n  b: 2\n")
    assert yaml_positions.find(root, "a.b") == (3, 3)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "- " * 50_000,
        "a: &a [*a]",
        "? [a, {b: c}]\n: d\n? {x: y}\n: z",
        "a: [b",
        "a: \x00",
        "a: \ud800",
        "k" * 1_000_000 + ": {a: 1}",
        ".".join("k" * 100_000) + ": {a: 1}",
        "",
    ],
)
@pytest.mark.parametrize("path", ["a.b[0]", "k" * 1_000_000, ".".join("k" * 100_000), "[" * 5000, "." * 5000])
def test_nothing_in_a_file_or_a_path_is_too_odd(text: str, path: str) -> None:
    for root in yaml_positions.documents(text):
        assert yaml_positions.find(root, path)[0] >= 1


@given(st.text(alphabet="ab:-?[]{}&*!|>'\"# \n,<~0", max_size=40))
def test_there_is_a_place_for_each_document_that_can_be_read(text: str) -> None:
    roots = yaml_positions.documents(text)
    try:
        loaded: list[Any] = yamls.load_all(text)
    except UserError:
        return
    assert len(roots) == len(loaded)
