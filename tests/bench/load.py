"""POSTs from another process: wrk where it is installed, else a loop of our own, which costs more than it measures."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BODY = b'{"n":1,"kind":"push","pad":"' + b"x" * 120 + b'"}'
_SCRIPT = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = %r\n'


def generator() -> str:
    """What makes the load."""
    return "wrk" if shutil.which("wrk") else "a loop in Python"


async def posts(url: str, connections: int, seconds: float) -> float:
    """Accepted requests a second."""
    if shutil.which("wrk"):
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(_SCRIPT % BODY.decode())
            script.flush()
            command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", script.name, url]
            output = await _output(*command)
        if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
            raise AssertionError(f"{refused[1]} requests were refused")
        found = re.search(r"Requests/sec:\s+([\d.]+)", output)
        assert found, output
        return float(found[1])
    return float(await _output(sys.executable, "-m", "bench.load", url, str(connections), str(seconds)))


async def _output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    output, _ = await process.communicate()
    return output.decode()


async def _loop(host: str, port: int, path: str, connections: int, seconds: float) -> float:
    head = f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    accepted, end = 0, time.monotonic() + seconds

    async def one() -> None:
        nonlocal accepted
        reader, writer = await asyncio.open_connection(host, port)
        while time.monotonic() < end:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            accepted += answer.startswith(b"HTTP/1.1 200")
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return accepted / seconds


if __name__ == "__main__":
    where = re.fullmatch(r"http://([^:/]+):(\d+)/(.*)", sys.argv[1])
    assert where, json.dumps(sys.argv)
    print(asyncio.run(_loop(where[1], int(where[2]), where[3], int(sys.argv[2]), float(sys.argv[3]))))
