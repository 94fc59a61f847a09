"""Buses as the controller makes them: servers with the generated configuration, clients as sources and sensors are.

The only differences to a pod: directories, ports, and a leaf of the bus's own authority for `localhost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from support.buses import JetStreamWorld, MemoryWorld
from support.nats_server import Line, NatsServer, binary, free_port

from eventbus import certificates, configuration, connecting, resources, secret_data
from eventbus.base import Stored
from eventbus.certificates import Chain, Names
from eventbus.dead_letters import REDRIVE_SOURCE
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from eventbus.resources import JetStreamObjects
from eventbus.roles import Role
from eventbus.secret_data import Data, Known
from eventbus.types import EventBus
from events.credentials import Credentials
from events.event import Event
from events.logs import Log

NAMESPACE = "test"
_OWN = ("state", "session", "stream_created", "health", "on_change", "max_event_bytes", "_session")
"""What a source asks of a bus; the rest is asked by sensors."""


@cache
def objects(replicas: int) -> tuple[JetStreamObjects, dict[str, Data]]:
    """What the controller makes of a bus, and its Secrets; once for all tests."""
    raw = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "EventBus",
        "metadata": {"name": "default", "namespace": NAMESPACE, "uid": "u-1"},
        "spec": {"jetstream": {"version": "latest", "replicas": replicas}},
    }
    defaults = configuration.shipped().jetstream
    jetstream = resources.jetstream_of(EventBus.parse(raw).spec, defaults)
    assert jetstream is not None
    made = JetStreamObjects(raw, jetstream, defaults)
    return made, secret_data.ensured(made.names, Known(), datetime.now(UTC))


@cache
def local_leaves(replicas: int) -> dict[str, str]:
    """Keys and certificates for `localhost`, of the bus's own authorities."""
    made, data = objects(replicas)
    found, server = {}, data[made.names.server]
    for prefix in ("", "cluster-"):
        keys = [f"{prefix}{key}" for key in ("private-key", "cert", "ca-cert", "ca-private-key")]
        names = Names(("localhost",), is_client=bool(prefix))
        leaf = certificates.issued(Chain(*(server[key] for key in keys)), names, datetime.now(UTC))
        found |= {keys[0]: leaf.key, keys[1]: leaf.cert}
    return found


def access(role: Role | None, url: str, folder: Path, replicas: int = 1) -> Access:
    """How pods of a role reach the bus; None: as the full user, verifying too."""
    made, data = objects(replicas)
    for name, texts in data.items():
        for key, text in texts.items():
            path = folder / "secrets" / name / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    condition = {"type": "Deployed", "status": "True", "observedGeneration": 1}
    raw = made.raw | {"status": {"config": made.status_config(), "conditions": [condition]}}
    config, _ = resources.client_config(raw, role or "sensor")
    assert config.jetstream is not None
    told = config.jetstream.model_copy(update={"url": url})
    if role is None:
        ref = told.access_secret
        assert ref is not None
        told = told.model_copy(update={"access_secret": ref.model_copy(update={"name": made.names.client})})
    return connecting._access(told, Credentials([folder]), None)()


class GeneratedServer(NatsServer):
    """One server of a bus. `key` is the key of its data."""

    def __init__(self, directory: Path, index: int = 0, replicas: int = 1, cluster_ports: tuple[int, ...] = ()) -> None:
        super().__init__(directory)
        self.index, self.replicas, self.cluster_ports, self.http = index, replicas, cluster_ports, free_port()
        made, data = objects(replicas)
        self.key = data[made.names.server]["encryption"]

    @property
    def url(self) -> str:
        return f"nats://localhost:{self.port}"

    def write(self) -> Path:
        """The files that a pod mounts."""
        made, data = objects(self.replicas)
        server = data[made.names.server] | local_leaves(self.replicas)
        config = made.server_config(server)
        changed = {
            "/etc/nats-config": str(self.directory),
            "/data/jetstream/store": str(self.store),
            "/var/run/nats/nats.pid": str(self.directory / "nats.pid"),
            "port: 4222": f"port: {self.port}",
            "http: 8222": f'http: "127.0.0.1:{self.http}"',
        }
        if self.cluster_ports:
            changed["port: 6222"] = f'listen: "127.0.0.1:{self.cluster_ports[self.index]}"'
            for index, port in enumerate(self.cluster_ports):
                changed[f"{made.names.base}-{index}.{made.names.host}:6222"] = f"localhost:{port}"
        for said, meant in changed.items():
            assert said in config or said == "/etc/nats-config", said
            config = config.replace(said, meant)
        for key, name in resources._FILES.items():
            (self.directory / name).write_text(server[key].replace("/etc/nats-config", str(self.directory)))
        path = self.directory / "nats-js.conf"
        path.write_text(config)
        return path

    async def start(self) -> None:
        path = self.write()
        env = {
            **os.environ,
            "POD_NAME": f"eventbus-default-js-{self.index}",
            "JS_KEY": self.key,
            "CLUSTER_ADVERTISE": f"localhost:{self.cluster_ports[self.index]}" if self.cluster_ports else "localhost",
        }
        command = [binary(), "--config", str(path), "-a", "127.0.0.1"]
        with (self.directory / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        for _ in range(1500):
            assert self.process.poll() is None, self.said()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.said())

    def said(self) -> str:
        return (self.directory / "nats.log").read_text()

    def reload(self) -> None:
        """What the reloader does when a file changes."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)


class RoleBus:
    """A bus of a process of one role; what that role never asks is asked of the other's."""

    def __init__(self, role: Role, source: JetStreamBus, sensor: JetStreamBus) -> None:
        self.parts = (source, sensor)
        self._ask = dict.fromkeys(_OWN, source) if role == "source" else {}
        self._others = sensor

    async def publish(self, event: Event) -> Stored:
        """What is sent again is sent by who may look at dead letters."""
        return await self.parts[event.source == REDRIVE_SOURCE].publish(event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ask.get(name, self._others), name)


class RoleWorld(JetStreamWorld):
    """Several processes of one role on one server."""

    def __init__(self, directory: Path, role: Role) -> None:
        super().__init__(directory)
        self.role, self.server = role, GeneratedServer(directory)

    async def bus(self, **options: Any) -> Any:
        parts = [await self.part(role, **options) for role in ("source", "sensor")]
        return RoleBus(self.role, *parts)

    async def part(self, role: Role, **options: Any) -> JetStreamBus:
        """A bus of a process of this role."""
        if self.server.process is None:
            await self.server.start()
        line = Line(self.server.port)
        await line.mend()
        url, folder = f"nats://localhost:{line.port}", self.server.directory / "mounted"
        options.setdefault("publish_seconds", 5)
        made = JetStreamBus(
            lambda: access(role, url, folder), NAMESPACE, name=role, log=Log("test"), role=role, **options
        )
        self.lines[id(made)] = line
        self.buses.append(made)
        await made.start()
        await made.stream_created()
        return made

    async def cut(self, bus: Any) -> None:
        for part in getattr(bus, "parts", (bus,)):
            await super().cut(part)

    async def mend(self, bus: Any) -> None:
        for part in getattr(bus, "parts", (bus,)):
            await super().mend(part)

    async def crash(self, bus: Any) -> None:
        for part in getattr(bus, "parts", (bus,)):
            await super().crash(part)


def world_of(kind: str, directory: Path) -> Any:
    """A world by the name that tests have for it: a kind of bus, or a role on a bus of the controller's."""
    if kind == "memory":
        return MemoryWorld()
    return JetStreamWorld(directory) if kind == "jetstream" else RoleWorld(directory, kind)  # type: ignore[arg-type]
