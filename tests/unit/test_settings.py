"""What a service learns from its environment: limits of scripts, its object and bus."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from events.errors import UserError
from events.scripting.link import Limits
from events.settings import read, script_limits


def test_without_a_word_scripts_have_the_usual_limits() -> None:
    assert script_limits({}) == read({}).script_limits == Limits()


def test_the_environment_sets_seconds_and_mebibytes() -> None:
    assert script_limits({"KERYX_SCRIPT_SECONDS": "2.5", "KERYX_SCRIPT_MEMORY": "512"}) == Limits(2.5, 512 << 20)


@pytest.mark.parametrize("name", ["KERYX_SCRIPT_SECONDS", "KERYX_SCRIPT_MEMORY"])
@pytest.mark.parametrize("text", ["much", "-1", "1e12"])
def test_what_is_no_limit_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(UserError, match=name):
        script_limits({name: text})


def test_objects_come_from_mounted_files(tmp_path: Path) -> None:
    packed, bus, since = tmp_path / "object.json.gz", tmp_path / "bus.json", tmp_path / "since.json"
    packed.write_bytes(gzip.compress(b'{"kind": "Sensor"}'))
    bus.write_text('{"jetstream": {}}')
    since.write_text('{"t": "2026-07-01T00:00:00Z"}')
    other = base64.b64encode(b'{"kind": "Other"}').decode()
    found = read(
        {
            "KERYX_OBJECT_FILE": str(packed),
            "SENSOR_OBJECT": other,
            "KERYX_BUS_FILE": str(bus),
            "EVENTBUS_CONFIG": other,
            "KERYX_SINCE_FILE": str(since),
        }
    )
    assert found.sensor_object == found.event_source_object == {"kind": "Sensor"}
    assert found.bus_config == {"jetstream": {}}
    assert found.since == {"t": "2026-07-01T00:00:00Z"}


def test_variables_still_carry_objects() -> None:
    found = read({"SENSOR_OBJECT": base64.b64encode(b'{"kind": "Sensor"}').decode()})
    assert (found.sensor_object, found.event_source_object, found.since) == ({"kind": "Sensor"}, None, None)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{", b"\xff"])
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, suffix: str) -> None:
    path = tmp_path / f"object{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"KERYX_OBJECT_FILE: {path}"):
        read({"KERYX_OBJECT_FILE": str(path)})
