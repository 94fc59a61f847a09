"""The contract of a trigger: `fetch` what parameters are applied to, `execute` it for one firing (step 11).

An adapter is one module (a typed `Spec` and a class), one row in `registry`, one example, one test. It has no retry
loop, rate limit, policy or metrics: `firing` does those once for all. It raises ActionError when the target refuses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from events.credentials import Credentials
from events.event import Event
from events.logs import Log
from events.model import Model
from events.problems import Problems

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from events.kube.api import KubeApi


class Spec(Model):
    """Base of every trigger's spec."""


SpecT = TypeVar("SpecT", bound=Spec)


@dataclass(frozen=True, slots=True)
class Firing:
    """A trigger with a complete set of events. `id` is the same when the firing is repeated."""

    id: str
    events: Mapping[str, Event]
    """Dependency name -> its event, after transformation."""
    sequences: Mapping[str, int] = field(default_factory=dict)
    """Dependency name -> where its event stands in the stream."""
    stored_ns: int = 0
    """When the event that completed the set was stored, Unix nanoseconds."""
    remakes: int = 0
    """How often its action succeeded and its policy said no: what is made next is a new thing, not a repeat."""
    redrives: int = 0
    """How often a person has sent it again from the dead letters."""
    letter: str = ""
    """Id of the dead letter it comes from."""


@dataclass(frozen=True, slots=True)
class Result:
    """What an execution gave, for the policy and the log."""

    value: Any = None
    """The created object, the response text …"""
    status: int | None = None
    """A status code, where the target has one."""


@dataclass(frozen=True, slots=True)
class TriggerContext:
    """All that a trigger may touch."""

    namespace: str
    sensor_name: str
    trigger_name: str
    """The configured name: parameters do not change it."""
    log: Log
    secrets: Credentials
    kube: Callable[[], KubeApi]
    """The Kubernetes API, connected at the first call; UserError when there is none."""
    http: Callable[[], ClientSession]
    """The process's HTTP client, made at the first call."""


class Trigger(ABC, Generic[SpecT]):
    """One trigger of one Sensor, with the spec that template parameters have left."""

    Spec: ClassVar[type[Spec]]
    needs_kube: ClassVar[bool] = False
    """Whether it cannot run without a Kubernetes API."""

    def __init__(self, spec: SpecT, context: TriggerContext) -> None:
        self.spec, self.context = spec, context

    @classmethod
    def validate(cls, spec: SpecT, problems: Problems) -> None:
        """What the types cannot say, as problems with paths relative to the spec."""

    @abstractmethod
    async def fetch(self) -> str:
        """JSON text of what resource-level `parameters` are applied to. ActionError when it cannot be had."""

    @abstractmethod
    async def execute(self, resource: str, firing: Firing) -> Result:
        """Act once; `resource` is what `fetch` gave, parameters applied. ActionError when the target refuses."""

    async def aclose(self) -> None:
        """Release what it holds."""
