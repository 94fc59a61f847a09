"""The log of one life of a container: lines with time and stream in files that are rotated, read while it grows.

A line is `2026-11-21T12:00:00.123456789Z stdout F text`; `P` instead of `F` marks one that goes on in the next.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from events.local.apiserver.pods.kubelet import LogOptions
from events.threads import in_thread

MAX_BYTES, MAX_FILES = 10 * 2**20, 5
MAX_LINE = 16 * 1024
_PIECE = 64 * 1024


def stamp(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


class Writer:
    """Takes what the streams of a container say. A disk that refuses costs lines, never the container."""

    def __init__(self, path: Path, clock: Callable[[], int], max_bytes: int = MAX_BYTES) -> None:
        self._path, self._clock, self._max = path, clock, max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self._rest: dict[str, bytes] = {}
        self._grown = asyncio.Event()
        self.is_closed = False
        self.lost = 0
        """Lines that the disk refused."""

    def write(self, stream: str, data: bytes) -> None:
        """Some bytes of `stdout` or `stderr`."""
        lines = (self._rest.pop(stream, b"") + data).split(b"\n")
        rest = lines.pop()
        out = [self._line(stream, part, mark) for line in lines for part, mark in _parts(line)]
        while len(rest) >= MAX_LINE:
            out.append(self._line(stream, rest[:MAX_LINE], b"P"))
            rest = rest[MAX_LINE:]
        if rest:
            self._rest[stream] = rest
        self._put(out)

    def _line(self, stream: str, text: bytes, mark: bytes) -> bytes:
        return b"%s %s %s %s\n" % (stamp(self._clock()).encode(), stream.encode(), mark, text)

    def _put(self, lines: list[bytes]) -> None:
        if not lines:
            return
        data = b"".join(lines)
        try:
            if self._size + len(data) > self._max and self._size:
                self._rotate()
            self._size += self._file.write(data) or 0
        except OSError:
            self.lost += len(lines)
        self._wake()

    def _rotate(self) -> None:
        for number in range(MAX_FILES - 2, 0, -1):
            older = _rotated(self._path, number)
            if older.exists():
                older.rename(_rotated(self._path, number + 1))
        self._file.close()
        self._path.rename(_rotated(self._path, 1))
        self._file = self._path.open("ab", buffering=0)
        self._size = 0

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    def close(self) -> None:
        """The container has ended, and both its streams."""
        if self.is_closed:
            return
        self._put([self._line(stream, rest, b"F") for stream, rest in self._rest.items()])
        self._rest.clear()
        self.is_closed = True
        self._file.close()
        self._wake()

    async def grown(self, seconds: float) -> None:
        """Returns when there is more, at its end, or after so many seconds."""
        waiting = self._grown
        if not self.is_closed:
            try:
                async with asyncio.timeout(seconds):
                    await waiting.wait()
            except TimeoutError:
                pass


def _parts(line: bytes) -> Iterator[tuple[bytes, bytes]]:
    while len(line) > MAX_LINE:
        yield line[:MAX_LINE], b"P"
        line = line[MAX_LINE:]
    yield line, b"F"


def _rotated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def remove(path: Path) -> None:
    """A log with all its older files."""
    for file in (path, *(_rotated(path, number) for number in range(1, MAX_FILES))):
        file.unlink(missing_ok=True)


@dataclass
class _Format:
    """Turns stored lines into what was asked for."""

    options: LogOptions
    _continues: bool = False

    def accepts(self, line: bytes) -> bool:
        if self.options.stream != "All" and line.split(b" ", 2)[1] != self.options.stream.lower().encode():
            return False
        since = self.options.since
        return since is None or line[:30].decode("ascii", "replace") >= stamp(int(since.timestamp() * 1e9))

    def text(self, line: bytes) -> bytes:
        when, _, mark, said = (*line.rstrip(b"\n").split(b" ", 3), b"")[:4]
        prefix = b"" if self._continues or not self.options.timestamps else when + b" "
        self._continues = mark == b"P"
        return prefix + said + (b"" if self._continues else b"\n")


async def read(path: Path, options: LogOptions, writer: Writer | None) -> AsyncIterator[bytes]:
    """The log in pieces; with `writer`, which still writes it, until its end when it is followed."""
    form = _Format(options)
    left = options.limit_bytes
    file = await in_thread(lambda: _open(path), "container log")
    try:
        lines = await in_thread(lambda: _begin(path, file, form, options.tail_lines), "container log")
        while True:
            for piece in _pieces(form, lines):
                cut = piece if left is None else piece[:left]
                left = None if left is None else left - len(cut)
                if cut:
                    yield cut
                if left == 0:
                    return
            was_closed = writer is None or writer.is_closed
            lines = [line for line in _complete(file) if form.accepts(line)]
            if lines:
                continue
            if _is_rotated(path, file):
                file.close()
                file = _open(path)
            elif not options.follow or was_closed:
                return
            else:
                assert writer is not None
                await writer.grown(1.0)
    finally:
        file.close()


def _open(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+b")


def _begin(path: Path, current: BinaryIO, form: _Format, tail: int | None) -> list[bytes]:
    """The lines there are already, those of rotated files first."""
    found: deque[bytes] = deque(maxlen=tail)
    for number in range(MAX_FILES - 1, 0, -1):
        older = _rotated(path, number)
        if older.exists():
            with older.open("rb") as file:
                found.extend(line for line in file if form.accepts(line))
    current.seek(0)
    found.extend(line for line in _complete(current) if form.accepts(line))
    return list(found)


def _complete(file: BinaryIO) -> Iterator[bytes]:
    """The lines from here on that have an end."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        yield line


def _is_rotated(path: Path, file: BinaryIO) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino != path.stat().st_ino
    except FileNotFoundError:
        return False


def _pieces(form: _Format, lines: list[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for line in lines:
        piece += form.text(line)
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def last_lines(path: Path, count: int, most: int) -> str:
    """The end of a log, for the message of a container that failed."""
    form = _Format(LogOptions(""))
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4 * most))
            lines = list(deque(file, maxlen=count))
    except OSError:
        return ""
    text = b"".join(form.text(line) for line in lines if line.count(b" ") >= 3)
    return text[-most:].decode("utf-8", "replace")
