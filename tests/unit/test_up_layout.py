"""The version file of the data directory: older is brought up to date, newer and unreadable are refused with a cure."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from events.app.local import layout, limits, place
from events.app.local.place import Place
from events.errors import UserError
from events.version import VERSION


def written(data: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((data / layout.FILE).read_text())
    return found


def test_a_fresh_directory_gets_the_present_layout(tmp_path: Path) -> None:
    layout.check(tmp_path)
    assert written(tmp_path) == {"layout": layout.LAYOUT, "keryx": VERSION}


def test_an_older_one_is_brought_up_to_date(tmp_path: Path) -> None:
    (tmp_path / layout.FILE).write_text("1\n")
    (tmp_path / "port").write_text("1234")
    Place(tmp_path).check()
    assert written(tmp_path) == {"layout": layout.LAYOUT, "keryx": VERSION}
    assert Place(tmp_path).port() == 1234


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"layout": 99, "keryx": "9.0"}', "was written by a newer Keryx (9.0, layout 99)"),
        ("99\n", "was written by a newer Keryx (unknown version, layout 99)"),
        ("0\n", "is older than any that can be brought up to date"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_and_left_as_it_is(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / layout.FILE).write_text(text)
    with pytest.raises(UserError) as caught:
        Place(tmp_path).check()
    assert said in str(caught.value)
    assert caught.value.cure
    assert (tmp_path / layout.FILE).read_text() == text


def test_there_is_a_step_from_every_older_layout() -> None:
    assert sorted(layout.STEPS) == list(range(1, layout.LAYOUT))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 12345, 12345)
    with pytest.raises(UserError, match="belongs to uid 12345, and you are root"):
        Place(data).check()
    assert not list(data.iterdir())


def test_a_long_log_becomes_that_of_the_last_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_LONGEST_LOG", 3)
    there = Place(tmp_path)
    there.log.write_text("long")
    there.check()
    assert not there.log.exists()
    assert (tmp_path / "up.log.1").read_text() == "long"


@pytest.mark.parametrize(
    ("now", "then", "said"),
    [((100, 4096), 4096, ""), ((100, 512), 512, "for about 45 containers"), ((5000, 5000), 5000, "")],
)
def test_as_many_open_files_as_possible_are_allowed(
    monkeypatch: pytest.MonkeyPatch, now: tuple[int, int], then: int, said: str
) -> None:
    limit = [now]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limit[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, new: limit.__setitem__(0, new))
    assert said in limits.raise_open_files()
    assert limit[0][0] == then


def test_too_few_open_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (64, 64))
    with pytest.raises(UserError, match=r"only 64 open files are allowed, and 256 are needed \(ulimit -n 1024\)"):
        limits.raise_open_files()
