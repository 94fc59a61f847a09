"""What holds for the project as a whole: generated pages, tables, layers, names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic.alias_generators import to_snake

from events.app import reference
from events.registry import Registry
from eventsources.base import Source
from eventsources.registry import SOURCES
from sensors.base import Trigger
from sensors.registry import PRECEDENCE, TRIGGERS

ROOT = Path(__file__).parents[2]
ADAPTERS = [*((SOURCES, key) for key in SOURCES), *((TRIGGERS, key) for key in TRIGGERS)]


@pytest.mark.parametrize(("name", "text"), list(reference.pages()))
def test_the_reference_pages_are_what_the_code_says(name: str, text: str) -> None:
    assert (ROOT / "docs/reference" / name).read_text() == text, "run `make docs`"


def test_no_reference_page_is_left_over() -> None:
    assert {path.name for path in (ROOT / "docs/reference").iterdir()} == {name for name, _ in reference.pages()}


@pytest.mark.parametrize("table", [SOURCES, TRIGGERS])
def test_tables_are_sorted(table: Registry) -> None:
    assert list(table.rows) == sorted(table.rows)


def test_every_trigger_has_its_place_among_the_others() -> None:
    assert sorted(PRECEDENCE) == TRIGGERS.keys()


@pytest.mark.parametrize(("table", "key"), ADAPTERS)
def test_an_adapter_is_named_after_its_key(table: Registry, key: str) -> None:
    module, _, name = table.rows[key].partition(":")
    assert module.rpartition(".")[2] == {"k8s": "k8s", "s3": "s3"}.get(key, to_snake(key))
    suffix = "Source" if table is SOURCES else "Trigger"
    assert name.lower() == f"{key}{suffix}".lower()


@pytest.mark.parametrize(("table", "key"), ADAPTERS)
def test_an_adapter_has_documented_fields_an_example_and_tests(table: Registry, key: str) -> None:
    adapter = table.load(key)
    spec = adapter.Spec
    missing = [name for name, field in spec.model_fields.items() if not field.description]
    assert not missing, f"{spec.__name__}: fields without description: {missing}"
    if not issubclass(adapter, (Source, Trigger)):
        return  # described only: nothing that an example could show
    used = re.compile(rf"^\s+{key}:", re.MULTILINE)
    assert any(used.search(path.read_text()) for path in (ROOT / "examples").rglob("*.yaml")), "no example"
    assert any(
        name.name.startswith("test_") and key.lower() in name.read_text().lower().replace("_", "")
        for name in (ROOT / "tests").rglob("*.py")
    ), "no test"


def test_every_module_of_the_floor_is_in_the_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {name.strip() for row in contracts[0]["layers"] for name in re.split("[:|]", row)}
    found = {
        f"events.{path.stem}"
        for path in (ROOT / "events").iterdir()
        if not path.name.startswith(("_", "py.typed")) and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert found <= layers, f"not in the layers of pyproject.toml: {sorted(found - layers)}"


def test_the_tree_of_the_architecture_names_everything_once() -> None:
    tree = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1]
    names, above = list[str](), list[tuple[int, str]]()
    for line in filter(str.strip, tree.splitlines()):
        depth, name = len(line) - len(line.lstrip()), line.split()[0]
        above = [one for one in above if one[0] < depth]
        if name.endswith((".py", "/")):
            names.append("".join(part for _, part in above) + name)
        if name.endswith("/"):
            above.append((depth, name))
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
