"""kubectl: recorded terminal sessions, done again with the real kubectl against our server.

The newest kubectl that is found, of the recorded versions; all of them with KERYX_ALL_KUBECTLS=1.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from conformance.core import Case, Outcome, Verdict
from conformance.kubernetes.comparing import Difference, judged, matches
from support import kubectls
from support.api_server import ApiServer, running

DEPARTURES: Mapping[str, frozenset[int]] = MappingProxyType({"kubectl/apply-csa-to-ssa": frozenset({2})})
"""The steps that docs/differences.md speaks of; all others of these cases are as recorded."""

_LOGGED = re.compile(r"^[IWE]\d{4} [\d:.]+ +\d+ \w+\.go:\d+\] .*\n", re.MULTILINE)
"""A line of kubectl's own log: what it says of a watch whose time is up depends on its own threads."""
_VERSIONS = ("1.27", "1.30", "1.33")
_AT_A_TIME = 4
_SECONDS = 60.0
_NUMBERS = itertools.count(1)


def run(case: Case) -> Outcome:
    """One case alone."""
    return run_all([case])[0]


def run_all(cases: Sequence[Case]) -> list[Outcome]:
    """All of them, on one server."""
    versions = [version for version in _VERSIONS if version in kubectls.found()]
    if not versions:
        return [Outcome(Verdict.NOT_COVERED, got="no kubectl of a recorded version on this machine")] * len(cases)
    if os.environ.get("KERYX_ALL_KUBECTLS") != "1":
        versions = versions[-1:]
    return asyncio.run(_run_all(cases, versions))


async def _run_all(cases: Sequence[Case], versions: Sequence[str]) -> list[Outcome]:
    turns = asyncio.Semaphore(_AT_A_TIME)
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder, "server")) as server:

            async def one(case: Case) -> Outcome:
                async with turns:
                    differences = [
                        difference
                        for version in versions
                        for difference in await _differences(case, Session(server, Path(folder), version))
                    ]
                return judged(differences, DEPARTURES.get(case.id))

            return list(await asyncio.gather(*(one(case) for case in cases)))


async def _differences(case: Case, session: Session) -> list[Difference]:
    """Any defect is the failure of its case, not of the run."""
    try:
        return await session.run(case)
    except Exception as error:  # noqa: BLE001  # reported as the failure of this case
        return [(None, f"{type(error).__name__}: {error}")]


class Session:
    """One terminal: an empty directory, an empty home, a namespace of its own."""

    def __init__(self, server: ApiServer, folder: Path, version: str) -> None:
        number = next(_NUMBERS)
        self._command = kubectls.named_kubectl(kubectls.found()[version], folder / f"bin-{version}")
        self._version = version
        self._place, home = folder / f"work-{number}", folder / f"home-{number}"
        self._place.mkdir()
        home.mkdir()
        self._names = {"{ns}": f"k-{number}", "{grpid}": f"g{number}", "{grp}": f"g{number}.example.com"}
        self._environ = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(server.kubeconfig)}

    async def run(self, case: Case) -> list[Difference]:
        """What differs."""
        for name, text in (case.input.get("files") or {}).items():
            path = self._place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._filled(text))
        namespace = self._names["{ns}"]
        await self._say(["create", "namespace", namespace])
        await self._say(["-n", namespace, "wait", "--for=create", "sa/default", "cm/kube-root-ca.crt", "--timeout=10s"])
        differences: list[Difference] = []
        for index, (command, wanted) in enumerate(zip(case.input["commands"], case.expect["steps"], strict=True)):
            expected = wanted.get("all") or wanted.get(self._version)
            if expected is not None:
                differences += [(index, f" {self._version}: {text}") for text in await self._step(command, expected)]
        await self._say(["delete", "namespace", namespace, "--wait=false"])
        return differences

    async def _step(self, command: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
        words = [self._filled(word) for word in command["cmd"].split(" ")]
        environ = {name: self._filled(value) for name, value in (command.get("env") or {}).items()}
        stdin = self._filled(command.get("stdin") or "")
        code, out, err = await self._say(["-n", self._names["{ns}"], *words], stdin, environ)
        found = [] if code == wanted["exit"] else [f"exit {wanted['exit']} != {code}"]
        for name, text in (("stdout", out), ("stderr", _LOGGED.sub("", err))):
            if not matches(wanted.get(name, ""), self._masked(text)):
                found.append(f"{command['cmd']} {name}: {wanted.get(name, '')!r} != {self._masked(text)!r}")
        return found

    async def _say(
        self, words: list[str], stdin: str = "", environ: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            self._command,
            *words,
            cwd=self._place,
            env={**self._environ, **(environ or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def _filled(self, text: str) -> str:
        for name, value in self._names.items():
            text = text.replace(name, value)
        return text

    def _masked(self, text: str) -> str:
        for name in ("{ns}", "{grp}", "{grpid}"):
            text = text.replace(self._names[name], name)
        return text
