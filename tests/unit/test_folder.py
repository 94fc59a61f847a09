"""What a folder's difference is called, by itself and with real files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from events.errors import ActionError
from events.problems import Problems
from eventsources import folder
from eventsources.fields import WatchPath
from eventsources.folder import Entries, Folder, differences
from eventsources.folder_watch import Known
from eventsources.sources.file import Chosen, FileSpec


async def look(path: Path) -> Entries:
    return (await Folder(str(path)).entries())[0]


async def names(path: Path, before: Entries) -> list[tuple[str, str]]:
    return [(change.operation, change.name) for change in differences(before, await look(path))]


def touch(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds))


async def test_what_comes_changes_and_goes(tmp_path: Path) -> None:
    for name in ("stays", "grows", "touched", "locked", "goes", "old"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    before = await look(tmp_path)
    (tmp_path / "grows").write_text("grows more")
    touch(tmp_path / "touched", 1)
    (tmp_path / "locked").chmod(0o400)
    (tmp_path / "goes").unlink()
    (tmp_path / "old").rename(tmp_path / "young")
    (tmp_path / "comes").write_text("")
    (tmp_path / "folder/inside").write_text("")
    assert sorted(await names(tmp_path, before)) == [
        ("CHMOD", "locked"),
        ("CREATE", "comes"),
        ("CREATE", "young"),
        ("REMOVE", "goes"),
        ("RENAME", "old"),
        ("WRITE", "grows"),
        ("WRITE", "touched"),
    ]


async def test_a_file_put_in_the_place_of_another_is_created(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = await look(tmp_path)
    (tmp_path / "b").write_text("2")
    (tmp_path / "b").replace(tmp_path / "a")
    assert await names(tmp_path, before) == [("CREATE", "a")]


async def test_the_number_of_a_removed_inode_makes_no_rename(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    before = await look(tmp_path)
    entry = before["a"]
    after = {"b": entry._replace(written=entry.written + 1, changed=entry.changed + 1)}
    assert [change.operation for change in differences(before, after)] == ["REMOVE", "CREATE"]


def test_an_inode_number_that_changes_alone_is_no_event() -> None:
    entry = folder.Entry(1, 2, 3, 4, (5, 6, 7))
    assert differences({"a": entry}, {"a": entry._replace(inode=9)}) == []


async def test_a_link_to_nowhere_and_a_name_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / os.fsdecode(b"\xff")).write_text("")
    assert len(await look(tmp_path)) == 2


async def test_the_first_look_makes_no_events(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    known, entries = Known(), await look(tmp_path)
    assert known.begin(entries) == []
    (tmp_path / "b").write_text("")
    [change] = known.begin(await look(tmp_path))
    assert change.name == "b"
    known.note(change)
    assert known.begin(await look(tmp_path)) == []


async def test_a_creation_that_a_look_has_seen_is_not_reported_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    known, entries = Known(), await look(tmp_path)
    known.begin(entries)
    assert known.fresh([("a", "CREATE"), ("a", "WRITE")], entries) == [folder.Change("a", "WRITE", entries["a"])]
    again = known.fresh([("a", "REMOVE"), ("a", "CREATE")], entries)
    assert [change.operation for change in again] == ["REMOVE", "CREATE"]


async def test_a_file_system_that_hangs_has_one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folder, "SCAN_SECONDS", 0.05)
    hanging, calls = threading.Event(), []

    def hang(self: Folder) -> Entries:
        calls.append(self)
        hanging.wait(10)
        return {}

    monkeypatch.setattr(Folder, "_scan", hang)
    here = Folder(str(tmp_path))
    for _ in range(3):
        with pytest.raises(ActionError, match="no answer of the file system"):
            await here.entries()
    assert len(calls) == 1
    hanging.set()
    assert (await here.entries())[0] == {}


@pytest.mark.parametrize(
    ("where", "name", "has"),
    [
        ({"path": "a.txt"}, "a.txt", True),
        ({"path": "a.txt"}, "ba.txt", False),
        ({"pathRegexp": "[.]txt$"}, "a.txt", True),
        ({"pathRegexp": "^a"}, "ba", False),
        ({"pathRegexp": "^/a"}, "ab", True),
        ({"pathRegexp": "/a"}, "ba", False),
        ({"pathRegexp": "^(/a|/b)$"}, "b", True),
        ({"pathRegexp": "^.$"}, os.fsdecode(b"\xff"), True),
    ],
)
@pytest.mark.parametrize("directory", ["/d", "/d/"])
def test_which_names_are_wanted(directory: str, where: dict[str, str], name: str, has: bool) -> None:
    assert Chosen(WatchPath.parse({"directory": directory} | where)).has(name) is has


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"debounce": "1s"}, ""),
        ({"debounce": "soon"}, "debounce"),
        ({"debounce": "-1s"}, "is negative"),
        ({"debounce": "1s", "eventType": "REMOVE"}, "only with CREATE and WRITE"),
        ({"eventType": "CREATED"}, "never happens"),
    ],
)
def test_what_is_said_of_a_spec(fields: dict[str, str], said: str) -> None:
    problems = Problems()
    watch = {"eventType": "CREATE", "watchPathConfig": {"directory": "/d", "path": "a"}}
    FileSpec.parse(watch | fields).check(problems)
    assert said in "\n".join(map(str, problems))
    assert len(problems) == bool(said)
