"""From a BusConfig to a connected bus. Contract: sensors E.1 (shape), 0.3 and design section 5 (TLS to the bus)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from eventbus.roles import Role
from eventbus.types import BusConfig, JetStreamConfig
from events import yamls
from events.credentials import Credentials
from events.errors import CredentialError, NotAvailable, UserError
from events.logs import Log
from events.metrics import Metrics

if TYPE_CHECKING:
    from eventbus.jetstream.bus import JetStreamBus
    from eventbus.jetstream.link import Access

_SCHEME = re.compile(r"^[a-z]+://")


def jetstream_config(config: BusConfig) -> JetStreamConfig:
    """The JetStream part of a configuration; UserError when it has another kind of bus, or none."""
    if config.jetstream is not None:
        if not config.jetstream.url:
            raise UserError("required", path="jetstream.url", cure="an address such as nats://host:4222")
        return config.jetstream
    for kind, reason in (
        ("nats", "NATS Streaming is past its end of life; use JetStream"),
        ("kafka", "a Kafka bus is not in this version of Keryx"),
    ):
        if getattr(config, kind) is not None:
            raise NotAvailable(reason, path=kind)
    raise UserError("invalid event bus: none is configured", cure="set jetstream")


def bus(
    config: BusConfig,
    namespace: str,
    *,
    name: str,
    credentials: Credentials,
    auth_file: Path | None,
    metrics: Metrics,
    log: Log,
    is_guest: bool = False,
    role: Role | None = None,
) -> JetStreamBus:
    """A bus that begins to connect with `start()`; UserError when the configuration cannot be used.

    `role`: for whom, where sources and sensors are different users.
    """
    from eventbus.jetstream.bus import JetStreamBus
    from eventbus.jetstream.streams import StreamConfig

    jetstream = jetstream_config(config)
    made = JetStreamBus(
        _access(jetstream, credentials, auth_file),
        namespace,
        name=name,
        log=log.bind(bus=_without_password(jetstream.url)),
        stream=StreamConfig.parse(jetstream.stream_config or ""),
        is_guest=is_guest,
        role=role,
    )
    watch(made, metrics, _without_password(jetstream.url))
    if jetstream.tls is None:
        log.warning(
            "The bus configuration has no tls: the server is not verified", url=_without_password(jetstream.url)
        )
        metrics.bus_tls_unverified.labels(_without_password(jetstream.url)).set(1)
    return made


def own(
    access: Callable[[], Access],
    namespace: str,
    *,
    name: str,
    stream_config: str,
    label: str,
    metrics: Metrics,
    log: Log,
    is_alone: bool = False,
) -> JetStreamBus:
    """A bus on a server of this program's own, called `label` in metrics and logs; `is_alone` as for JetStreamBus."""
    from eventbus.jetstream.bus import JetStreamBus
    from eventbus.jetstream.streams import StreamConfig

    made = JetStreamBus(
        access,
        namespace,
        name=name,
        log=log.bind(bus=label),
        # One server, whatever the object says of a cluster's.
        stream=replace(StreamConfig.parse(stream_config), replicas=1),
        is_alone=is_alone,
    )
    watch(made, metrics, label)
    return made


def watch(made: JetStreamBus, metrics: Metrics, name: str) -> None:
    """Show the connection's state in the metrics."""
    gauge = metrics.bus_connected.labels(name)
    made.on_change(lambda health: gauge.set(health.connected))


def _access(config: JetStreamConfig, credentials: Credentials, auth_file: Path | None) -> Callable[[], Access]:
    """How to reach the server, looked up again before every connect: credentials may have been rotated."""
    from eventbus.jetstream.link import Access

    url = config.url if _SCHEME.match(config.url) else f"nats://{config.url}"
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def access() -> Access:
        tls = None if config.tls is None else credentials.tls(config.tls)
        if config.access_secret is None:
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            return Access(address, user, password, tls=tls)
        text = _read(auth_file) if auth_file else credentials.value(config.access_secret)
        given = _credentials(text)
        return Access(address, given.get("username", ""), given.get("password", ""), given.get("token", ""), tls)

    return access


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CredentialError(f"cannot read the bus credentials {path}: {error}") from error


def _credentials(text: str) -> dict[str, str]:
    """YAML of `username` and `password`, or `token` (contract E.1)."""
    try:
        raw = yamls.load_one(text)
    except UserError:
        raise CredentialError("the bus credentials are not YAML") from None  # the error might quote them
    if not isinstance(raw, dict) or not ({"username", "token"} & raw.keys()):
        raise CredentialError("the bus credentials need `username` and `password`, or `token`")
    return {str(key): str(value) for key, value in raw.items()}


def _without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//", url)
