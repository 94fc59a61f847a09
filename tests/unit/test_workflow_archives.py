"""Archives of artifacts: what comes out of them, and what does not. Contract: workflows I.6."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from events.local.workflows.artifacts import archives
from events.local.workflows.errors import WorkflowError


def tgz(path: Path, **files: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size, info.mode = len(text), 0o755
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def test_one_entry_is_the_artifact_and_several_are_a_folder(tmp_path: Path) -> None:
    archives.unpacked(tgz(tmp_path / "one", only="1"), tmp_path / "out", {})
    assert (tmp_path / "out").read_text() == "1"
    archives.unpacked(tgz(tmp_path / "two", a="1", b__c="2"), tmp_path / "out", {})
    assert (tmp_path / "out" / "b" / "c").read_text() == "2"
    assert not (tmp_path / "two").exists()


def test_what_is_no_archive_stays_and_what_must_be_one_is_an_error(tmp_path: Path) -> None:
    for archive in ({}, {"none": {}}):
        (tmp_path / "plain").write_bytes(b"\x1f\x8bno")
        archives.unpacked(tmp_path / "plain", tmp_path / "out", archive)
        assert (tmp_path / "out").read_bytes() == b"\x1f\x8bno"
    for kind in ("tar", "zip"):
        (tmp_path / "plain").write_text("text")
        with pytest.raises(WorkflowError, match="the archive cannot be unpacked"):
            archives.unpacked(tmp_path / "plain", tmp_path / "out", {kind: {}})


def test_an_entry_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="outside"):
        archives.unpacked(tgz(tmp_path / "bad", **{"..__gone": "1"}), tmp_path / "in" / "out", {})
    assert not (tmp_path / "gone").exists()
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../gone", "1")
    archives.unpacked(tmp_path / "bad.zip", tmp_path / "in" / "out", {})
    assert not (tmp_path / "in" / "gone").exists()


def test_a_zip_keeps_names_modes_and_empty_folders(tmp_path: Path) -> None:
    source = tmp_path / "made"
    (source / "empty").mkdir(parents=True)
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o750)
    archives.zipped(source, tmp_path / "made.zip")
    archives.unpacked(tmp_path / "made.zip", tmp_path / "out", {"zip": {}})
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["empty", "run.sh"]
    assert (tmp_path / "out" / "run.sh").stat().st_mode & 0o777 == 0o750
    (tmp_path / "file").write_text("x")
    archives.zipped(tmp_path / "file", tmp_path / "file.zip")
    archives.unpacked(tmp_path / "file.zip", tmp_path / "out", {})
    assert (tmp_path / "out").read_text() == "x"
