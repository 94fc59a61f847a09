"""Real containers through the command line of docker or podman. Keeps the contract `runtimes.Runtime`.

A container is created and then started attached: the command that stays is its process here, with its streams and its
exit code. It has the machine's network; its name and labels follow from its mark, so that a later node finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from typing import Any

from events.errors import KeryxError, UserError
from events.local.kubelet import processes
from events.local.kubelet.images import PullError
from events.local.kubelet.processes import Launch, StartError

Object = dict[str, Any]
NAMES = ("docker", "podman")
LABEL = "keryx.node"
_CALL_SECONDS, _PULL_SECONDS, _END_SECONDS = 30.0, 600.0, 10.0
_PROBES = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("info", "--format", "{{.Version.Version}}"),
}
_CURES = {"docker": "start the docker daemon", "podman": "see what `podman info` says"}
_SHOWN = 1000


class EngineError(KeryxError):
    """The engine did not do what it was asked, in its words."""


class Engine:
    """One of `NAMES`. Its command has the environment of whoever started us: contexts, sockets, registries."""

    def __init__(self, name: str, program: str, environ: Mapping[str, str] = os.environ) -> None:
        self.scheme, self._program, self._environ = name, program, dict(environ)
        self._fetched: set[str] = set()

    async def check(self) -> str:
        """Its version. Raises UserError when it does not answer."""
        try:
            return await self._call(*_PROBES[self.scheme])
        except EngineError as error:
            cure = f"{_CURES[self.scheme]}, or leave out --runtime: pods are processes then"
            raise UserError(f"{self.scheme} does not answer: {error}", path="--runtime", cure=cure) from error

    async def fetch(self, image: str, policy: str) -> str:
        """Have the image; what is to be said of it. A pull is tried once in the life of a node. Raises PullError."""
        try:
            await self._call("image", "inspect", "--format", "{{.Id}}", image)
            is_here = True
        except EngineError:
            is_here = False
        if is_here and (policy != "Always" or image in self._fetched):
            return ""
        if policy == "Never":
            raise PullError(f'{self.scheme} has no image "{image}", and imagePullPolicy is Never')
        self._fetched.add(image)
        try:
            await self._call("pull", "--quiet", image, seconds=_PULL_SECONDS)
        except EngineError as error:
            if not is_here:
                raise PullError(f'{self.scheme} cannot pull "{image}": {error}') from error
            return f'The image "{image}" that is here is taken, for {self.scheme} cannot pull it: {error}'
        return ""

    async def start(
        self, launch: Launch, *, stdin: int | None, stdout: int | None, stderr: int | None
    ) -> asyncio.subprocess.Process:
        if launch.is_beside:
            argv = ["exec", *_attached(launch), *_at(launch), _name(launch.mark), *launch.argv]
        else:
            try:
                await self._call(*creation(launch), env=launch.env)
            except EngineError as error:
                raise StartError(str(error)) from error
            argv = ["start", "--attach", *(["--interactive"] if launch.stdin else []), _name(launch.mark)]
        ours = Launch([self._program, *argv], self._environ, "/", tty=launch.tty)
        return await processes.start(ours, stdin=stdin, stdout=stdout, stderr=stderr)

    async def signal(self, process: asyncio.subprocess.Process, mark: str, number: int) -> None:
        if process.returncode is not None:
            return
        try:
            await self._call("kill", "--signal", signal.Signals(number).name.removeprefix("SIG"), _name(mark))
        except EngineError:
            if number != signal.SIGKILL:
                return
            await self.clear(process, mark)
        if number == signal.SIGKILL:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await process.wait()
            processes.signal_group(process.pid, number)

    async def clear(self, process: asyncio.subprocess.Process, mark: str) -> None:  # noqa: ARG002 - known by its mark
        with contextlib.suppress(EngineError):  # it was removed at its end
            await self._call("rm", "--force", _name(mark))

    async def end(self, node: str) -> int:
        """Raises EngineError."""
        found = (await self._call("ps", "--all", "--quiet", "--filter", f"label={LABEL}={node}")).split()
        if found:
            await self._call("rm", "--force", *found)
        return len(found)

    async def _call(self, *argv: str, env: Mapping[str, str] | None = None, seconds: float = _CALL_SECONDS) -> str:
        """What it prints. Raises EngineError with what it says of its failure."""
        pipe, environ = asyncio.subprocess.PIPE, {**(env or {}), **self._environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *(self._program, *argv), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environ
            )
        except OSError as error:
            raise EngineError(f"{self._program}: {error.strerror}") from error
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        except TimeoutError as error:
            raise EngineError(f"no answer to `{self.scheme} {argv[0]}` within {seconds:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            text = err.decode("utf-8", "replace").strip()
            raise EngineError(text[-_SHOWN:] or f"`{self.scheme} {argv[0]}` ended with {process.returncode}")
        return out.decode("utf-8", "replace").strip()


def found(name: str) -> Engine:
    """Raises UserError for one that is not known or not installed."""
    if name not in NAMES:
        raise UserError(f"{name!r} is none of process, {', '.join(NAMES)}", path="--runtime")
    program = shutil.which(name)
    if program is None:
        cure = f"install {name}, or leave out --runtime: pods are processes then"
        raise UserError(f"there is no {name} on PATH", path="--runtime", cure=cure)
    return Engine(name, program)


def creation(launch: Launch, ours: Mapping[str, str] = os.environ) -> list[str]:
    """The words that create a container. Values of variables are handed over in the environment, where they can be."""
    node = launch.mark.partition("/")[0]
    words = ["create", "--rm", "--init=false", "--pull=never", "--network=host", "--security-opt=label=disable"]
    words += ["--name", _name(launch.mark), "--label", f"{LABEL}={node}", "--label", f"keryx.mark={launch.mark}"]
    words += [*_attached(launch), *_at(launch), *launch.options]
    for mount in launch.mounts:
        read_only = ",readonly" if mount.read_only else ""
        words += ["--mount", f"type=bind,source={mount.source},target={mount.target}{read_only}"]
    for key, value in launch.env.items():
        words += ["--env", f"{key}={value}" if key in ours else key]
    command = list(launch.argv)
    if launch.has_command:
        words += ["--entrypoint", command.pop(0)]
    return [*words, launch.image, *command]


def options(pod: Object, container: Object) -> list[str]:
    """What a security context asks for, as far as it is followed. Pure."""
    context = {**(pod.get("securityContext") or {}), **(container.get("securityContext") or {})}
    found: list[str] = []
    if context.get("runAsUser") is not None:
        group = f":{context['runAsGroup']}" if context.get("runAsGroup") is not None else ""
        found += ["--user", f"{context['runAsUser']}{group}"]
    if context.get("readOnlyRootFilesystem"):
        found.append("--read-only")
    if context.get("privileged"):
        found.append("--privileged")
    capabilities = context.get("capabilities") or {}
    found += [f"--cap-{kind}={one}" for kind in ("drop", "add") for one in capabilities.get(kind) or ()]
    return found


def _name(mark: str) -> str:
    return f"keryx-{mark.strip('/').replace('/', '-')}"


def _attached(launch: Launch) -> list[str]:
    return [
        *(["--interactive"] if launch.stdin or (launch.tty and launch.is_beside) else []),
        *(["--tty"] if launch.tty else []),
    ]


def _at(launch: Launch) -> list[str]:
    return ["--workdir", launch.cwd] if launch.cwd else []
