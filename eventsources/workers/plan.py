"""What a worker is told of its work. It holds secrets, so it goes over the channel only and is not shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from eventbus.roles import Role
from eventsources import types


@dataclass(frozen=True, slots=True)
class BusPlan:
    """How to reach the bus. Either `config`, a BusConfig, or `url` with a user: a server of our own."""

    config: dict[str, Any] | None = field(default=None, repr=False)
    auth_file: str | None = None
    url: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    stream_config: str = ""
    label: str = ""
    """What metrics and logs call a server of our own."""
    role: Role | None = None
    """Whose buckets `config` has, where sources and sensors are different users."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is the same for all EventSources of a process."""

    credentials: list[str]
    """Folders, as `Credentials` has them."""
    grace: float
    log_level: str
    address: str = ""
    kubeconfig: str | None = None
    """None: there is no Kubernetes API; empty: the pod's own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One EventSource, in a process of its own."""

    name: str
    """Who it is on the bus; the worker's number is added."""
    namespace: str
    object: dict[str, Any] = field(repr=False)
    bus: BusPlan
    around: Surroundings
    is_gated: bool = False
    """Whether what is published waits for an order."""

    def wire(self) -> dict[str, Any]:
        """As JSON would have it."""
        return asdict(self)

    @classmethod
    def of_wire(cls, raw: dict[str, Any]) -> Plan:
        """What `wire` made."""
        return cls(**raw | {"bus": BusPlan(**raw["bus"]), "around": Surroundings(**raw["around"])})


def wire_of(event_source: types.EventSource) -> dict[str, Any]:
    """The part of an EventSource that its workers need."""
    metadata = event_source.metadata
    return {
        "apiVersion": "",
        "kind": types.KIND,
        "metadata": {"name": metadata.name, "namespace": metadata.namespace},
        "spec": event_source.spec.sources,
    }
