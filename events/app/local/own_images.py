"""A user's own table of what stands in for images: `images.yaml` in the data directory, or `--images FILE`.

    team/app: [./app.py, --serve]          # an image, or a pattern, and what it runs
    registry.example/*/worker:v2:          # with a tag when that is to count
      command: [python3, -m, worker]
      args: [--all]                        # when the container gives none
      env: {MODE: local}
      programs:                          # what containers name in their own command, by its last part
        worker: [python3, -m, worker]

Words that begin with `./` or `../` are paths beside the file. Read when `keryx up` starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from events import yamls
from events.errors import UserError
from events.local.kubelet.images import Image
from events.problems import did_you_mean

NAME = "images.yaml"
_KEYS = ("command", "args", "env", "programs")
_FORM = "write `IMAGE: [program, argument]`, or command, args, env and programs below the image"


def of(data: Path, given: Path | None) -> list[Image]:
    """The rows of the file that was given, else of the one in the data directory. Raises UserError."""
    file = given or data / NAME
    return read(file) if given or file.exists() else []


def read(file: Path) -> list[Image]:
    """The rows, in the order of the file. Raises UserError naming the place."""
    try:
        found = yamls.load_one(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}", path=str(file)) from error
    except UserError as error:
        raise UserError(error.message, path=str(file), cure=error.cure) from error
    if not isinstance(found, dict):
        raise UserError("is no table of images", path=str(file), cure=_FORM)
    return list(_rows(found, file))


def _rows(table: dict[Any, Any], file: Path) -> Iterator[Image]:
    for name, value in table.items():
        where = f"{file}: {name}"
        if not isinstance(name, str) or not name.strip():
            raise UserError("is no image", path=where, cure=_FORM)
        row = {"command": value} if isinstance(value, list) else value
        if not isinstance(row, dict):
            raise UserError("is neither a command nor a row", path=where, cure=_FORM)
        for key in row:
            if key not in _KEYS:
                cure = did_you_mean(str(key), _KEYS) or f"one of {', '.join(_KEYS)}"
                raise UserError("is not known", path=f"{where}.{key}", cure=cure)
        yield _row(name, row, where, file.parent)


def _row(name: str, row: dict[Any, Any], where: str, folder: Path) -> Image:
    command = _words(row.get("command"), f"{where}.command", folder)
    own = _table(row.get("programs"), f"{where}.programs", "such as {worker: [python3, worker.py]}")
    programs = {program: _words(words, f"{where}.programs.{program}", folder) for program, words in own.items()}
    for program, words in programs.items():
        if not words or "/" in program:
            raise UserError("is no program and its words", path=f"{where}.programs.{program}", cure=_FORM)
    if not command and not programs:
        raise UserError("is required", path=f"{where}.command", cure=_FORM)
    arguments = _words(row.get("args"), f"{where}.args", folder)
    given = _table(row.get("env"), f"{where}.env", "such as {MODE: local}")
    if any(isinstance(one, dict | list) or one is None for one in given.values()):
        raise UserError("is no table of texts", path=f"{where}.env", cure="such as {MODE: local}")
    return Image((name,), command, arguments, programs, {key: _text(value) for key, value in given.items()})


def _words(value: Any, path: str, folder: Path) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or any(isinstance(one, dict | list) or one is None for one in value):
        raise UserError("is no list of words", path=path, cure="such as [python3, app.py]")
    return [_word(_text(one), folder) for one in value]


def _word(word: str, folder: Path) -> str:
    return os.path.normpath(folder.absolute() / word) if word.startswith(("./", "../")) else word


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(value: Any, path: str, cure: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError("is no table", path=path, cure=cure)
    return {str(name): one for name, one in value.items()}
