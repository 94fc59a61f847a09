"""Archives of artifacts, tar and zip. Everything here blocks."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from events.local.workflows.errors import WorkflowError


def unpacked(file: Path, target: Path, archive: Mapping[str, Any]) -> None:
    """Put at `target` what a file holds: itself, or the one entry or the entries of the archive that it is.

    `archive` is the artifact's: `none` keeps the file as it is, `tar` and `zip` demand one; else the content tells.
    """
    opener = _opener(file, archive)
    _removed(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if opener is None:
        file.rename(target)
        return
    inside = target.with_name(f"{target.name}.unpacking")
    _removed(inside)
    inside.mkdir()
    try:
        opener(file, inside)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise WorkflowError(f"the archive cannot be unpacked: {error}") from error
    entries = list(inside.iterdir())
    (entries[0] if len(entries) == 1 else inside).rename(target)
    _removed(inside)
    file.unlink()


def _opener(file: Path, archive: Mapping[str, Any]) -> Callable[[Path, Path], None] | None:
    if archive.get("none") is not None or file.is_dir():
        return None
    if archive.get("zip") is not None or (archive.get("tar") is None and zipfile.is_zipfile(file)):
        return _unzip
    if archive.get("tar") is not None or _is_tgz(file):
        return _untar
    return None


def _is_tgz(file: Path) -> bool:
    with file.open("rb") as opened:
        if opened.read(2) != b"\x1f\x8b":
            return False
    try:
        return tarfile.is_tarfile(file)
    except (EOFError, OSError, zlib.error):  # gzip, but not of a tar
        return False


def _untar(file: Path, folder: Path) -> None:
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")


def _unzip(file: Path, folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            made = Path(archive.extract(entry, folder))  # zipfile keeps names below the folder
            mode = entry.external_attr >> 16 & 0o777
            if mode and not entry.is_dir():
                made.chmod(mode)


def zipped(source: Path, file: Path) -> None:
    """Make a zip of a file or a folder; its one entry is the source."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source, source.name)
        for folder, names, files in os.walk(source):
            for name in sorted((*names, *files)):
                path = Path(folder, name)
                if not path.is_symlink() or path.exists():
                    archive.write(path, path.relative_to(source.parent))


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
