"""A terminal with one kubectl: an empty directory and home, a kubeconfig, a namespace."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

_SECONDS = 60.0


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


class Terminal:
    """Commands are written as in a shell, without the word `kubectl`; there is no shell."""

    def __init__(self, command: Path, kubeconfig: str, folder: Path, namespace: str) -> None:
        self.namespace, self.folder = namespace, folder
        self._command = command
        home = folder / "home"
        home.mkdir(exist_ok=True)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": kubeconfig}

    # -- commands

    def run(self, text: str, *, stdin: str = "", **environ: str) -> Said:
        """A command to its end."""
        process = subprocess.run(
            self._words(text),
            cwd=self.folder,
            env={**self.environ, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return Said(process.returncode, process.stdout, process.stderr)

    def does(self, text: str, *, stdin: str = "", **environ: str) -> str:
        """What a command that works writes to stdout."""
        said = self.run(text, stdin=stdin, **environ)
        assert said.code == 0, f"kubectl {text}: {said.err or said.out}"
        return said.out

    def fails(self, text: str, *, stdin: str = "", **environ: str) -> str:
        """What a command that fails writes to stderr."""
        said = self.run(text, stdin=stdin, **environ)
        assert said.code != 0, f"kubectl {text}: {said.out}"
        return said.err

    def json(self, text: str) -> Any:
        return json.loads(self.does(f"{text} -o json"))

    @cached_property
    def version(self) -> tuple[int, int]:
        """Of kubectl itself: (1, 33)."""
        client = json.loads(self.does("version --client -o json"))["clientVersion"]
        return int(client["major"]), int(client["minor"].rstrip("+"))

    def rows(self, text: str) -> list[list[str]]:
        """The words of a table, line by line, without its head."""
        return [line.split() for line in self.does(f"{text} --no-headers").splitlines()]

    @contextmanager
    def running(self, text: str) -> Iterator[Running]:
        """A command that goes on by itself."""
        with (self.folder / "running").open("w+") as out:
            process = subprocess.Popen(
                self._words(text), cwd=self.folder, env=self.environ, stdout=out, stderr=subprocess.STDOUT, text=True
            )
            try:
                yield Running(process, self.folder / "running")
            finally:
                process.kill()
                process.wait()

    def _words(self, text: str) -> list[str]:
        return [str(self._command), "-n", self.namespace, *shlex.split(text)]

    # -- files

    def write(self, name: str, *values: Any) -> str:
        """A file of objects, or of one text; its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if len(values) == 1:
            path.write_text(values[0] if isinstance(values[0], str) else json.dumps(values[0]))
        else:
            path.write_text(yaml.safe_dump_all(values))
        return name

    def script(self, name: str, text: str) -> str:
        """A shell script, to be an editor; its path."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)


@dataclass(frozen=True)
class Running:
    """A command that has not ended."""

    process: subprocess.Popen[str]
    file: Path

    @property
    def out(self) -> str:
        return self.file.read_text()

    def says(self, text: str, seconds: float = 60) -> str:
        """Its whole output, once it contains the text."""
        deadline = time.monotonic() + seconds
        while text not in self.out:
            assert time.monotonic() < deadline, f"{text!r} was not written: {self.out}"
            time.sleep(0.02)
        return self.out

    def ended(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)
