"""A git repository, served by git itself: `git http-backend` behind aiohttp, `git daemon`, a stand-in for ssh."""

from __future__ import annotations

import asyncio
import os
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from aiohttp import web
from support.ports import free_port

_AS = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *_AS, *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


class Repository:
    """A work tree, and the bare repository `root/flows.git` it is pushed to."""

    def __init__(self, root: Path) -> None:
        self.root, self.work = root / "served", root / "work"
        self.bare = self.root / "flows.git"
        self.work.mkdir(parents=True)
        git(self.work, "init", "--quiet", "--initial-branch=master")
        self.root.mkdir()
        git(self.root, "init", "--quiet", "--bare", "--initial-branch=master", "flows.git")
        git(self.bare, "config", "http.uploadpack", "true")
        git(self.bare, "config", "uploadpack.allowAnySHA1InWant", "true")

    def commit(self, path: str, text: str, *, ref: str = "refs/heads/master") -> str:
        """Write a file, commit and push it; the commit."""
        file = self.work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return self.push(ref)

    def push(self, ref: str = "refs/heads/master") -> str:
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--allow-empty", "-m", "change")
        git(self.work, "push", "--quiet", "--force", str(self.bare), f"HEAD:{ref}")
        return git(self.work, "rev-parse", "HEAD")


class HttpServer:
    def __init__(self, root: Path, user: str, password: str) -> None:
        self._root, self._auth = root, f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
        self.requests: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """CGI, as far as git asks for it."""
        self.requests.append(f"{request.method} {request.path_qs}")
        if self._auth and request.headers.get("Authorization") != self._auth:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic realm=git"})
        body = await request.read()
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
        out, _ = await process.communicate(body)
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(status=status, body=rest, headers=headers)


@asynccontextmanager
async def http(root: Path, user: str = "", password: str = "") -> AsyncIterator[HttpServer]:
    server = HttpServer(root, user, password)
    application = web.Application(client_max_size=1 << 26)
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def daemon(root: Path) -> AsyncIterator[str]:
    port = free_port()
    process = subprocess.Popen(
        ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={root}"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(500):
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                with closing(writer):
                    break
            await asyncio.sleep(0.01)
        yield f"git://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(10)


def stand_in_for_ssh(folder: Path, said: Path) -> None:
    """An `ssh` that notes how it is called, and the key it is given, and runs the command here."""
    script = folder / "ssh"
    script.write_text(
        "#!/bin/sh\n"
        f'printf "%s\\n" "$@" > {said}\n'
        'for part in "$@"; do case "$part" in IdentityFile=*) '
        f'stat -c %a "${{part#IdentityFile=}}" >> {said}; cat "${{part#IdentityFile=}}" >> {said};; esac\n'
        "command=$part; done\n"
        'eval "$command"\n'
    )
    script.chmod(0o755)
