"""Each example, a file or a folder of files that belong together, says in its head what to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TOGETHER = ("tutorials", "walkthrough")
"""Folders whose files are applied together."""
_TYPED = re.compile(r"^#   (?:kubectl|keryx|python|curl) ", re.MULTILINE)


def groups() -> Iterator[tuple[str, list[Path]]]:
    several: dict[str, list[Path]] = {}
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        place = path.relative_to(EXAMPLES)
        several.setdefault(str(place.parent if place.parts[0] in TOGETHER else place), []).append(path)
    yield from several.items()


GROUPS = dict(groups())


@pytest.mark.parametrize("name", GROUPS)
def test_an_example_says_what_to_type(name: str) -> None:
    heads = [path.read_text(encoding="utf-8").partition("\napiVersion:")[0] for path in GROUPS[name]]
    assert any(_TYPED.search(head) for head in heads), f"no `#   command` line in the head of examples/{name}"


@pytest.mark.parametrize("name", GROUPS)
def test_what_an_example_has_typed_names_files_that_are_there(name: str) -> None:
    for path in GROUPS[name]:
        for named in re.findall(r"^#   .*?(examples/[\w./-]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert (EXAMPLES.parent / named).exists(), (path.name, named)
