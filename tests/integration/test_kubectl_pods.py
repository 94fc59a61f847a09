"""The real kubectl on the endpoints below pods: logs, exec, attach, cp, port-forward. Skipped where there is none."""

from __future__ import annotations

import asyncio
import glob
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from support.pod_server import pod_server
from support.stand_in_kubelet import StandInKubelet

from events.local.apiserver.pods.kubelet import Kubelets

SPEAKS_WEBSOCKETS, TUNNELS = (1, 30), (1, 31)


def found() -> list[str]:
    """Every kubectl there is: the one on PATH, and those a google-cloud-sdk brings along."""
    on_path = shutil.which("kubectl")
    sdks = sorted(
        glob.glob("/usr/lib/google-cloud-sdk/bin/kubectl.1.*") + glob.glob("/opt/google-cloud-sdk/bin/kubectl.1.*")
    )
    return ([on_path] if on_path else []) + sdks


pytestmark = pytest.mark.skipif(not found(), reason="no kubectl on this machine")


class Kubectl:
    def __init__(self, program: str, home: Path, url: str) -> None:
        self.program, self.home, self.url = program, home, url

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        command = [self.program, "--server", self.url, "--request-timeout=20s", *arguments]
        environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "KUBECONFIG": "/dev/null"}
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)

    async def run(self, *arguments: str, stdin: bytes = b"") -> tuple[int | None, str, str]:
        process = await self.start(*arguments)
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin)
        return process.returncode, out.decode(), err.decode()

    async def version(self) -> tuple[int, int]:
        _, text, _ = await self.run("version", "--client")
        match = re.search(r"v(\d+)\.(\d+)", text)
        assert match, text
        return int(match[1]), int(match[2])


@pytest.fixture
def kubelet() -> StandInKubelet:
    return StandInKubelet(log_lines=[b"one\n", b"two\n", b"three\n"])


@pytest.fixture(params=found())
async def kubectl(request: pytest.FixtureRequest, kubelet: StandInKubelet, tmp_path: Path) -> AsyncIterator[Kubectl]:
    kubelets = Kubelets()
    kubelets.register("here", kubelet)
    async with pod_server(kubelets) as url:
        yield Kubectl(request.param, tmp_path, url)


async def test_logs(kubectl: Kubectl) -> None:
    assert await kubectl.run("logs", "p", "--tail=2") == (0, "two\nthree\n", "")
    code, _, err = await kubectl.run("logs", "p", "-c", "x")
    assert code == 1
    assert "container x is not valid for pod p" in err


async def test_followed_logs(kubectl: Kubectl) -> None:
    process = await kubectl.start("logs", "-f", "p")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        lines = [await process.stdout.readline() for _ in range(4)]
    process.kill()
    await process.wait()
    assert lines == [b"one\n", b"two\n", b"three\n", b"more\n"]


async def test_exec_carries_streams_and_the_exit_code(kubectl: Kubectl) -> None:
    if await kubectl.version() < SPEAKS_WEBSOCKETS:
        pytest.skip("this kubectl speaks SPDY only")
    assert await kubectl.run("exec", "p", "--", "echo", "hello") == (0, "hello\n", "")
    code, out, err = await kubectl.run("exec", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (code, out) == (7, "out\n")
    assert err == "err\ncommand terminated with exit code 7\n"
    big = b"line of input\n" * 50_000
    code, out, _ = await kubectl.run("exec", "-i", "p", "--", "wc", "-c", stdin=big)
    assert (code, out.strip()) == (0, str(len(big)))


async def test_attach_joins_the_process(kubectl: Kubectl) -> None:
    if await kubectl.version() < SPEAKS_WEBSOCKETS:
        pytest.skip("this kubectl speaks SPDY only")
    code, out, err = await kubectl.run("attach", "-i", "p", stdin=b"hello\n")
    assert code == 0, err
    assert out.endswith("HELLO\n")


async def test_cp_brings_files_there_and_back(kubectl: Kubectl, tmp_path: Path) -> None:
    if await kubectl.version() < SPEAKS_WEBSOCKETS:
        pytest.skip("this kubectl speaks SPDY only")
    (tmp_path / "from").write_bytes(bytes(range(256)) * 2_000)
    there = tmp_path / "pod"
    there.mkdir()
    code, _, err = await kubectl.run("cp", str(tmp_path / "from"), f"p:{there}/file")
    assert code == 0, err
    code, _, err = await kubectl.run("cp", f"p:{there}/file", str(tmp_path / "back"))
    assert code == 0, err
    assert (tmp_path / "back").read_bytes() == (tmp_path / "from").read_bytes()


async def test_ports_are_forwarded(kubectl: Kubectl, kubelet: StandInKubelet) -> None:
    if await kubectl.version() < TUNNELS:
        pytest.skip("this kubectl speaks SPDY only")
    body = b"x" * 3_000_000

    async def page(_request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        return aiohttp.web.Response(body=body)

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(page))
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kubelet.ports[80] = runner.addresses[0][1]
    process = await kubectl.start("port-forward", "pod/p", ":80", ":81")
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            lines = [(await process.stdout.readline()).decode() for _ in range(4)]
        local = {
            int(match[2]): int(match[1]) for line in lines if (match := re.search(r"127.0.0.1:(\d+) -> (\d+)", line))
        }
        async with aiohttp.ClientSession() as session:
            answers = await asyncio.gather(*(fetch(session, local[80]) for _ in range(5)))
            assert answers == [body] * 5
            with pytest.raises(aiohttp.ClientError):  # after which kubectl gives up
                await fetch(session, local[81])
        assert process.stderr is not None
        assert "nobody listens on port 81" in (await process.stderr.read()).decode()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await runner.cleanup()


async def fetch(session: aiohttp.ClientSession, port: int) -> bytes:
    async with asyncio.timeout(60), session.get(f"http://127.0.0.1:{port}/") as answer:
        return await answer.read()
