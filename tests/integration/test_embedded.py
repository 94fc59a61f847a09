"""The embedded nats-server, against the real one: lives and deaths of the server, of keryx, and of the disk."""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import nats
import nats.errors
import pytest

from eventbus import embedded, embedded_config, embedded_health, embedded_lock
from eventbus.embedded import CannotStart, EmbeddedServer
from events.errors import Unavailable

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG or /proc")
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@contextlib.asynccontextmanager
async def client(server: EmbeddedServer, **options: Any) -> AsyncIterator[Any]:
    settings = {"user": server.username, "password": server.password, "reconnect_time_wait": 0.02} | options
    settings["error_cb"] = AsyncMock()  # nats-py would print each lost connection
    connection = await nats.connect(server.url, max_reconnect_attempts=-1, **settings)
    try:
        yield connection
    finally:
        await connection.close()


async def store(server: EmbeddedServer, text: str) -> None:
    async with client(server) as connection:
        stream = connection.jetstream()
        await stream.add_stream(name="things", subjects=["things"])
        await stream.publish("things", text.encode())


async def stored(server: EmbeddedServer) -> str:
    async with client(server) as connection:
        return (await connection.jetstream().get_last_msg("things", "things")).data.decode()


async def eventually(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)


def is_alive(pid: int | None) -> bool:
    return pid is not None and embedded_lock._process(pid) is not None


def servers_of(directory: Path) -> list[int]:
    """Every process with this directory on its command line, whoever started it."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid=,command="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=1) for line in listed.splitlines()]
    prefix = f" -c {directory.resolve()}/"
    return [int(pid) for pid, command in rows if prefix in command and command.endswith("nats-server.conf")]


def is_locked(directory: Path) -> bool:
    with (directory / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def in_use(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


@pytest.fixture(autouse=True)
def _leaves_nothing(tmp_path: Path) -> Iterator[None]:
    yield
    left = servers_of(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


HOLDER = """
import asyncio, sys
from pathlib import Path
from eventbus.embedded import EmbeddedServer
async def hold():
    async with EmbeddedServer(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()
if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(hold())
else:
    asyncio.run(hold())
"""


@contextlib.asynccontextmanager
async def another_keryx(directory: Path, loop: str = "asyncio") -> AsyncIterator[tuple[int, int]]:
    """A process that holds the directory; its pid and that of its server."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(directory), loop, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        yield process.pid, int(await process.stdout.readline())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


# --- a life


@pytest.mark.parametrize("name", ["plain", """a b'"$HOME\\n\n#{}é"""])
async def test_starts_answers_and_stops(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    async with EmbeddedServer(directory, max_payload=4096, sync_always=True, max_store_bytes=1 << 30) as server:
        await store(server, "hello")
        assert await stored(server) == "hello"
        async with client(server) as connection:
            assert connection.max_payload == 4096
        pid = server.pid
        assert is_alive(pid)
        assert server.version == embedded.find_server()[1]
    assert server.pid is None
    assert not is_alive(pid)
    assert not is_locked(directory)


async def test_listens_on_loopback_only_and_lets_nobody_in_without_the_password(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path) as server:
        port = int(server.url.rpartition(":")[2])
        listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=False).stdout
        assert f"0.0.0.0:{port}" not in listening
        assert f"*:{port}" not in listening
        for password in ("x", ""):
            with pytest.raises(Unavailable, match="Authorization Violation"):
                await embedded_health.ask(port, server._options.name, server.username, password, timeout=1)
        readable = [path.name for path in tmp_path.iterdir() if path.stat().st_mode & 0o077 and path.is_file()]
        assert readable == []
        assert (tmp_path / "store").stat().st_mode & 0o077 == 0
        assert server.password in (tmp_path / "server.json").read_text()
        assert server.password not in repr(server._server)


async def test_data_port_and_password_survive_to_the_next_life(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path) as first:
        await store(first, "kept")
    async with EmbeddedServer(tmp_path) as second:
        assert await stored(second) == "kept"
    assert (second.url, second.password) == (first.url, first.password)


@pytest.mark.parametrize("left", ["", "{", "[]", '{"port": 1, "colour": 2}', '{"port": "x"}', '{"port": 70000}', "{}"])
async def test_an_unreadable_server_file_is_replaced(tmp_path: Path, left: str) -> None:
    (tmp_path / "server.json").write_text(left)
    async with EmbeddedServer(tmp_path) as server:
        assert json.loads((tmp_path / "server.json").read_text())["password"] == server.password != ""


async def test_one_server_object_can_be_used_again_and_starts_in_a_moment(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    for _ in range(2):
        began = time.perf_counter()
        async with server:
            assert is_alive(server.pid)
            assert time.perf_counter() - began < 10  # 0.05 s on an idle machine


async def test_a_former_port_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path) as first:
        port = int(first.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        async with EmbeddedServer(tmp_path) as second:
            assert second.url != first.url


async def test_a_wanted_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} is taken"):
            await EmbeddedServer(tmp_path, port=port).__aenter__()
    assert not is_locked(tmp_path)
    async with EmbeddedServer(tmp_path, port=port) as server:
        assert server.url == f"nats://127.0.0.1:{port}"


async def test_a_port_that_is_taken_at_the_last_moment_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1]])
        choose = embedded.free_port
        monkeypatch.setattr(embedded, "free_port", lambda *given: next(ports, None) or choose(*given))
        async with EmbeddedServer(tmp_path) as server:
            assert in_use(int(server.url.rpartition(":")[2]))


# --- the server dies


async def test_a_killed_server_is_back_on_the_same_port_with_the_same_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "keryx.eventbus")
    reasons: list[str] = []
    async with EmbeddedServer(tmp_path, on_restart=reasons.append) as server:
        await store(server, "kept")
        url, pid = server.url, server.pid
        async with client(server) as connection:
            assert pid
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: reasons)
            assert reasons == ["was killed by signal 9 (Killed)"]
            assert (server.url, server.pid != pid, is_alive(server.pid)) == (url, True, True)
            await eventually(lambda: connection.is_connected)  # without being told anything
        assert await stored(server) == "kept"
    assert len(caplog.messages) == 3  # started, died, is back


async def test_a_server_that_keeps_dying_neither_floods_the_log_nor_the_processor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "keryx.eventbus")
    monkeypatch.setattr(embedded, "_LAST_DELAY", 0.1)
    monkeypatch.setattr(embedded, "_STABLE_AFTER", 0.3)
    monkeypatch.setattr(embedded, "_HEALTH_INTERVAL", 0.05)
    reasons: list[str] = []
    async with EmbeddedServer(tmp_path, on_restart=reasons.append) as server:
        for death in range(1, 11):
            assert server.pid
            os.kill(server.pid, signal.SIGKILL)
            await eventually(lambda death=death: len(reasons) == death)
        await eventually(lambda: "stable again after 10 restarts" in caplog.text)
    told = [message for message in caplog.messages if "restart " in message]
    assert [message.partition("restart ")[2].split()[0] for message in told] == ["1", "2", "4", "8"]
    assert len(caplog.messages) == 7


async def test_a_server_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant in ("_HEALTH_INTERVAL", "_ANSWER_TIMEOUT", "_GRACE"):
        monkeypatch.setattr(embedded, constant, 0.1)
    reasons: list[str] = []
    async with EmbeddedServer(tmp_path, on_restart=reasons.append) as server:
        hung = server.pid
        assert hung
        os.kill(hung, signal.SIGSTOP)
        await eventually(lambda: reasons)
        assert reasons == ["did not answer 3 times (no answer within 0.1 s)"]
        assert not is_alive(hung)
        assert is_alive(server.pid)


async def test_a_restart_that_fails_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LAST_DELAY", 0.1)
    async with EmbeddedServer(tmp_path) as server:
        config = tmp_path / "nats-server.conf"
        text = config.read_text()
        config.write_text("port: nonsense")
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        await eventually(lambda: "cannot be started: nats-server ended with status 1 at start" in caplog.text)
        config.write_text(text)
        await eventually(lambda: server.pid and in_use(int(server.url.rpartition(":")[2])))


async def test_what_a_restart_cannot_cure_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_HEALTH_INTERVAL", 0.02)
    async with EmbeddedServer(tmp_path) as server:
        await store(server, "x")
        (tmp_path / "store" / "jetstream" / "$G" / "streams" / "ghost").mkdir()
        await eventually(lambda: "ghost' could not be recovered" in caplog.text)
        (tmp_path / "store" / "jetstream" / "$G" / "streams" / "ghost").rmdir()
        await eventually(lambda: "reports that all is well again" in caplog.text)
    assert len(caplog.messages) == 2


async def test_a_stranger_on_the_port_is_never_told_the_password(tmp_path: Path) -> None:
    heard = bytearray()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_name":"keryx","jetstream":true}\r\n')
        heard.extend(await reader.read())
        writer.close()

    async with await asyncio.start_server(impostor, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match="another nats-server"):
            await embedded_health.ask(port, "keryx-ours", "user", "secret", timeout=1)
    assert heard == b""


# --- keryx dies, or there are two


@linux
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_the_server_dies_with_a_killed_keryx(tmp_path: Path, loop: str) -> None:
    async with another_keryx(tmp_path, loop) as (keryx, pid):
        assert is_alive(pid)
        os.kill(keryx, signal.SIGKILL)
        await eventually(lambda: not is_alive(pid))
    async with EmbeddedServer(tmp_path) as server:
        assert is_alive(server.pid)


async def test_the_directory_of_a_killed_keryx_can_be_used_at_once(tmp_path: Path) -> None:
    async with another_keryx(tmp_path) as (keryx, pid):
        os.kill(keryx, signal.SIGKILL)
        async with EmbeddedServer(tmp_path) as server:
            assert is_alive(server.pid)
            assert not is_alive(pid)


async def test_a_second_keryx_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with another_keryx(tmp_path) as (keryx, pid):
        with pytest.raises(CannotStart, match=rf"is in use by another keryx \(pid {keryx}\) \(stop that one first"):
            await EmbeddedServer(tmp_path).__aenter__()
        assert is_alive(pid)
        assert caplog.messages == []  # it did not try to end the other's server


async def test_a_second_server_of_one_process_is_refused(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path):
        with pytest.raises(CannotStart, match="already in use by this process"):
            await EmbeddedServer(tmp_path).__aenter__()


async def test_of_two_that_start_at_once_one_wins(tmp_path: Path) -> None:
    servers = [EmbeddedServer(tmp_path) for _ in range(2)]
    outcomes = await asyncio.gather(*(server.__aenter__() for server in servers), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["CannotStart", "EmbeddedServer"]
    assert len(servers_of(tmp_path)) == 1
    for server in servers:
        await server.aclose()


async def test_a_holder_nobody_can_name_is_an_error_with_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_lock, "_PATIENCE", 0.1)
    with (tmp_path / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CannotStart, match=r"cannot be seen from here .*fuser"):
            await EmbeddedServer(tmp_path).__aenter__()


@contextlib.contextmanager
def process(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **options) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("hangs", [False, True])
async def test_an_orphan_is_ended_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool) -> None:
    monkeypatch.setattr(embedded_lock, "_GRACE", 0.3)
    async with EmbeddedServer(tmp_path) as former:
        await store(former, "kept")
    with process("true") as keryx:
        keryx.wait()
    left = json.loads((tmp_path / "server.json").read_text())
    (tmp_path / "server.json").write_text(json.dumps(left | {"keryx": keryx.pid}))
    command = (str(embedded.find_server()[0]), "-c", f"{tmp_path.resolve()}/nats-server.conf")
    lock = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with process(*command, pass_fds=[lock]) as orphan:
        os.close(lock)  # from here on the server alone holds it
        await eventually(lambda: in_use(left["port"]))
        if hangs:
            orphan.send_signal(signal.SIGSTOP)
        async with EmbeddedServer(tmp_path) as server:
            assert (orphan.wait(1) == -signal.SIGKILL) == hangs
            assert await stored(server) == "kept"
            assert servers_of(tmp_path) == [server.pid]


async def test_a_recycled_pid_is_not_taken_for_an_orphan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_lock, "_PATIENCE", 0.1)
    with process("sleep", "60") as stranger, (tmp_path / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (tmp_path / "nats-server.pid").write_text(str(stranger.pid))
        with pytest.raises(CannotStart):
            await EmbeddedServer(tmp_path).__aenter__()
        assert stranger.poll() is None


# --- what a person has to mend (the rest: test_embedded_errors.py)


async def test_a_start_that_fails_shows_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="max_payload") as caught:
        await EmbeddedServer(tmp_path, max_payload=1 << 30).__aenter__()
    assert f"see {tmp_path.resolve()}/nats-server.log" in str(caught.value)
    assert servers_of(tmp_path) == []
    assert not is_locked(tmp_path)


@linux
@root
async def test_a_full_disk_is_cured_once_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_HEALTH_INTERVAL", 0.1)
    monkeypatch.setattr(embedded, "_LAST_DELAY", 0.1)
    monkeypatch.setattr(embedded_config, "_LEAST_FREE", 1 << 20)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", tmp_path], check=False).returncode:
        pytest.skip("may not mount")
    reasons: list[str] = []
    try:
        async with EmbeddedServer(tmp_path / "bus", on_restart=reasons.append) as server:
            await store(server, "before")
            pid = server.pid
            if server.version.startswith(("2.10.", "2.11.", "2.12.")):
                pytest.skip("2.10 gets over a full disk by itself, 2.15 does not")
            (tmp_path / "filler").write_bytes(bytes(shutil.disk_usage(tmp_path).free - (300 << 10)))
            async with client(server) as connection:
                with contextlib.suppress(nats.errors.Error):
                    for _ in range(100):
                        await connection.jetstream().publish("things", bytes(50_000), timeout=0.3)
            await eventually(lambda: "cannot be started: only 0 MiB are left" in caplog.text)
            assert server.pid == pid  # it still delivers
            (tmp_path / "filler").unlink()
            await eventually(lambda: reasons)
            await store(server, "after")
            assert await stored(server) == "after"
            async with client(server) as connection:
                assert (await connection.jetstream().get_msg("things", 1)).data == b"before"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# --- stopping


async def test_a_server_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_GRACE", 0.2)
    async with EmbeddedServer(tmp_path) as server:
        pid = server.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
    assert not is_alive(pid)
    assert not is_locked(tmp_path)


async def test_a_stop_that_is_cancelled_still_stops(tmp_path: Path) -> None:
    server = await EmbeddedServer(tmp_path).__aenter__()
    pid = server.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await server.aclose()
    assert not is_alive(pid)
    assert not is_locked(tmp_path)


@pytest.mark.parametrize("after", [0, 0.01, 0.02, 0.03, 0.04])
async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path, after: float) -> None:
    server = EmbeddedServer(tmp_path)
    starting = asyncio.create_task(server.__aenter__())
    await asyncio.wait({starting}, timeout=after)
    starting.cancel()
    await asyncio.wait({starting})
    if not starting.cancelled():
        await server.aclose()
    assert servers_of(tmp_path) == []
    assert not (tmp_path / "lock").exists() or not is_locked(tmp_path)


async def test_a_stop_during_a_restart_leaves_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with EmbeddedServer(tmp_path) as server:
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        await eventually(lambda: "restart 1" in caplog.text)
    assert servers_of(tmp_path) == []
    assert not is_locked(tmp_path)
