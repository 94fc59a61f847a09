"""The version file of a data directory: which layout it has, and which Keryx wrote it last.

A directory of an older layout is brought to the present one, step by step; one of a newer layout is refused, because
what a newer version keeps there is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from events.errors import UserError
from events.version import VERSION

FILE = "layout"
LAYOUT = 2


def _named(_data: Path) -> None:
    """1 -> 2: the file says which Keryx wrote it; nothing else has changed."""


STEPS: Mapping[int, Callable[[Path], None]] = {1: _named}
"""From which layout -> what brings a directory to the next one. Each may be repeated after a crash."""


def check(data: Path) -> None:
    """Bring the directory to the present layout. UserError when that cannot be; OSError when it cannot be written."""
    number, writer = _read(data)
    if number > LAYOUT:
        raise UserError(
            f"{data} was written by a newer Keryx ({writer or 'unknown version'}, layout {number});"
            f" this is {VERSION} and knows layouts up to {LAYOUT}",
            cure="use that version, or give --data another directory",
        )
    for older in range(number, LAYOUT):
        STEPS[older](data)
    text = json.dumps({"layout": LAYOUT, "keryx": VERSION}) + "\n"
    file = data / FILE
    if not file.exists() or file.read_text() != text:
        fresh = data / f"{FILE}.new"
        fresh.write_text(text)
        fresh.replace(file)


def _read(data: Path) -> tuple[int, str]:
    """Layout and version; the present one of a directory without anything of ours."""
    file = data / FILE
    try:
        text = file.read_text()
    except FileNotFoundError:
        return LAYOUT, VERSION
    try:
        found = json.loads(text)
        if isinstance(found, int):  # layout 1 was a number and no more
            found = {"layout": found}
        number, writer = int(found["layout"]), str(found.get("keryx", ""))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        cure = "`keryx reset` removes everything there, or give --data another directory"
        raise UserError(f"{file} cannot be read: {text[:40]!r}", cure=cure) from error
    if number < min(STEPS):
        raise UserError(
            f"{data} has layout {number}, which is older than any that can be brought up to date",
            cure="`keryx reset` removes everything there, or give --data another directory",
        )
    return number, writer
