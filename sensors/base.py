"""The contract of a trigger: `fetch` what parameters are applied to, `execute` it for one firing (step 11).

An adapter is one module (a typed `Spec` and a class), one row in `registry`, one example, one test. It has no retry
loop, rate limit, policy or metrics: `firing` does those once for all. It raises ActionError when the target refuses.
A kind that this version only describes is a `Kind` in the same place: its spec and what is wrong with one.
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
    memory: dict[str, Any] = field(default_factory=dict, compare=False)
    """What the instances of a trigger, one for each spec that parameters make, remember together. It is shared with the
    dead-letter trigger, so keys have the trigger's name in them."""


class Kind(Generic[SpecT]):
    """What an object may say of one kind of trigger; without an adapter, this version does not run it."""

    Spec: ClassVar[type[Spec]]
    needs_kube: ClassVar[bool] = False
    """Whether it cannot run without a Kubernetes API."""
    checks_parameters: ClassVar[bool] = True
    """Whether a wrong entry of `parameters` refuses the object; upstream does not look at those of some kinds."""

    @classmethod
    def validate(cls, spec: SpecT, problems: Problems) -> None:
        """What the types cannot say, as problems with paths relative to the spec."""

    @classmethod
    def not_run(cls, spec: SpecT) -> str:  # noqa: ARG003  # adapters look at it
        """Why this version does not run a trigger with this spec; empty when it does."""
        return "this version of Keryx describes this kind of trigger, but does not run it"


class Trigger(Kind[SpecT], ABC):
    """One trigger of one Sensor, with the spec that template parameters have left."""

    def __init__(self, spec: SpecT, context: TriggerContext) -> None:
        self.spec, self.context = spec, context

    @classmethod
    def not_run(cls, spec: SpecT) -> str:  # noqa: ARG003  # adapters look at it
        return ""

    @abstractmethod
    async def fetch(self) -> str:
        """JSON text of what resource-level `parameters` are applied to. ActionError when it cannot be had."""

    @abstractmethod
    async def execute(self, resource: str, firing: Firing) -> Result:
        """Act once; `resource` is what `fetch` gave, parameters applied. ActionError when the target refuses."""

    async def aclose(self) -> None:
        """Release what it holds."""
