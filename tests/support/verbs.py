"""The verbs as people type them, beside a kubectl that is typed the same."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path

from support import kubectls
from support.keryx import COMMAND

SECONDS = 90.0
_AGE = re.compile(r"\b(?:AGE|(?:\d+[smhd]){1,2})(?: +|$)", re.MULTILINE)


@dataclass
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass
class Typist:
    """Types commands against one API server."""

    kubeconfig: Path
    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder)}

    async def begin(self, command: str | Path, *arguments: str | Path) -> asyncio.subprocess.Process:
        """A command that runs."""
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            str(command), *map(str, arguments), stdin=pipe, stdout=pipe, stderr=pipe, env=self.environ
        )

    async def run(self, command: str | Path, *arguments: str | Path, stdin: str | bytes = "") -> Said:
        """A command that ends by itself."""
        process = await self.begin(command, *arguments)
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(stdin.encode() if isinstance(stdin, str) else stdin)
        assert b"Traceback" not in err, err.decode()
        return Said(process.returncode or 0, out.decode(errors="surrogateescape"), err.decode())

    async def keryx(self, *arguments: str | Path, code: int = 0, stdin: str | bytes = "") -> str:
        """What it says on stdout when it succeeds, on stderr when it is to fail."""
        said = await self.run(COMMAND, *arguments, stdin=stdin)
        assert said.code == code, (arguments, said)
        return said.err if code else said.out

    async def kubectl(self, *arguments: str | Path, stdin: str = "") -> str:
        command = kubectls.newest()
        assert command is not None
        said = await self.run(command, *arguments, stdin=stdin)
        assert said.code == 0, (arguments, said)
        return said.out

    async def same(self, *arguments: str) -> str:
        """What both say to the same words, but for ages."""
        theirs, ours = await asyncio.gather(self.kubectl(*arguments), self.keryx(*arguments))
        assert _AGE.sub("AGE ", ours) == _AGE.sub("AGE ", theirs)
        return ours
