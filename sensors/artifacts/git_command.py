"""The `git` command without a shell: a closed environment, bounded output, nothing left when it is cut short."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from events.errors import ActionError
from sensors.artifacts.reading import Refused

FOLDER_LIMIT = 512 * 1024 * 1024
"""Bytes that a repository may bring to disk."""
_LOOK_SECONDS = 0.1
_SAID = 16 * 1024
# Of the process's environment, only how to get out and whom to trust: what else git reads would change what it does.
_KEPT = ("PATH", "HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_FIXED = {
    # Others run commands (`ext::`) or read this machine.
    "GIT_ALLOW_PROTOCOL": "https:http:ssh:git",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "GIT_SSH_VARIANT": "ssh",
    "LC_ALL": "C",
}


class Failed(ActionError):
    """The command ended with this exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git in `folder`, which is empty at first and its caller's to remove."""

    folder: Path
    ssh: str = ""
    """The command that connects by SSH."""
    config: Mapping[str, str] = field(default_factory=dict)
    """Settings, which other processes do not get to see."""

    async def run(self, *arguments: str, limit: int) -> bytes:
        """What it prints, up to `limit` bytes; Failed when it fails, Refused when there is no git or too much."""
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *arguments,
                cwd=self.folder,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # it has children, which end with it
            )
        except FileNotFoundError as error:
            raise Refused("the git command is not installed") from error
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch())
                said = tasks.create_task(_beginning(process.stderr))
                printed = await _all(process.stdout, limit)
                await process.wait()
                watch.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.returncode:
            lines = said.result().decode("utf-8", "replace").strip().splitlines()
            raise Failed(
                f"git {arguments[0]}: {lines[-1] if lines else f'exit code {process.returncode}'}", process.returncode
            )
        return printed

    def _environment(self) -> dict[str, str]:
        names = (*_KEPT, *_PROXIES, *(name.upper() for name in _PROXIES))
        environment = {name: os.environ[name] for name in names if name in os.environ} | _FIXED
        if self.ssh:
            environment["GIT_SSH_COMMAND"] = self.ssh
        environment["GIT_CONFIG_COUNT"] = str(len(self.config))
        for index, (key, value) in enumerate(self.config.items()):
            environment |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
        return environment

    async def _watch(self) -> None:
        """Refused once there is too much on disk."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if sum(_sizes(self.folder)) > FOLDER_LIMIT:
                raise Refused(f"the repository brings more than {FOLDER_LIMIT // 1024 // 1024} MiB")


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # git renames its temporary files
            yield path.stat().st_size


async def _all(stream: asyncio.StreamReader | None, limit: int) -> bytes:
    assert stream is not None
    found = bytearray()
    while chunk := await stream.read(65536):
        found += chunk
        if len(found) > limit:
            raise Refused(f"git prints more than {limit // 1024} KiB")
    return bytes(found)


async def _beginning(stream: asyncio.StreamReader | None) -> bytes:
    """The first of what is said; the rest is read and dropped, or the command would wait."""
    assert stream is not None
    found = b""
    while chunk := await stream.read(65536):
        found = (found + chunk)[:_SAID]
    return found
