"""What the controllers of Sensors and EventSources share: from an object to running pods, and to its status.

Both follow their EventBus at once (flaw C1), write a status only when it says something new (flaw C4), put no
finalizer on anything, and keep what runs when an edit leaves nothing that could. Contract: sensors F.3 to F.7.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Literal, TypeVar

from eventbus import lookup
from eventbus.roles import Role
from eventbus.types import KIND as EVENT_BUS
from events.errors import UserError
from events.kube import conditions, pods, status
from events.kube.api import KubeApi, KubeError, Object
from events.kube.applying import Applier
from events.kube.conditions import Condition
from events.kube.controller import Controller, Key
from events.kube.informer import Informers
from events.kube.recording import Recorder
from events.kube.reports import TYPES, Reports
from events.kube.rollout import DEPLOYED, PROGRESSING
from events.kube.workloads import Workloads
from events.logs import Log
from events.problems import Problem
from events.resources import API_VERSION

J = TypeVar("J")
NOT_RUN = "NotRun"
"""Reason of a condition: it is valid, and this version has nothing that does it."""
_BUS = "bus"
_MAX_MESSAGE = 2000
_PASSING = (408, 409, 429)
_LOOK_SECONDS = 60.0
"""Until what stands in the way is looked for again: nobody tells when somebody else's object goes."""


@dataclass(frozen=True, slots=True)
class Made:
    """What an object is to have."""

    config_map: Object
    deployment: Object
    service: Object | None = None


class DependentController(abc.ABC, Generic[J]):
    """Reconciles one kind. `J` is what judging one of its objects gives."""

    role: ClassVar[pods.Role]
    bus_role: ClassVar[Role]

    def __init__(
        self,
        api: KubeApi,
        informers: Informers,
        applier: Applier,
        recorder: Recorder,
        settings: pods.PodSettings,
        *,
        log: Log,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        reports: Reports | None = None,
    ) -> None:
        """`reports`: what pods say of their work; None: they are not asked."""
        self._reports = reports
        self._api, self._recorder, self._settings, self._now = api, recorder, settings, now
        self._log = log.bind(controller=self.role.controller)
        self._objects = informers.of(API_VERSION, self.role.kind, indexes={_BUS: _bus_key})
        self._buses = informers.of(API_VERSION, EVENT_BUS)
        self._workloads = Workloads(self.role, api, informers, applier, recorder, self._log)

    def watch(self, controller: Controller) -> None:
        """Tell a controller what its keys depend on."""
        controller.on(self._objects)
        controller.on(self._buses, self._dependents)
        self._workloads.watch(controller)
        if self._reports is not None:
            self._reports.subscribe(self.role, controller.queue.add)

    def _dependents(self, bus: Object) -> Iterator[Key]:
        meta = bus["metadata"]
        for one in self._objects.by(_BUS, f"{meta.get('namespace')}/{meta['name']}"):
            yield Key(one["metadata"].get("namespace") or "", one["metadata"]["name"])

    # ---- what each kind says

    @abc.abstractmethod
    def judge(self, raw: Object) -> tuple[J, list[Condition]]:
        """What is to be thought of an object, and its conditions but `Deployed`."""

    @abc.abstractmethod
    def unfit(self, judged: J) -> Condition | None:
        """Why nothing of it can run; None: something can."""

    @abc.abstractmethod
    async def make(self, raw: Object, judged: J, bus: Mapping[str, Any], name: str) -> Made:
        """What it is to have, for a Deployment called `name`. UserError when that cannot be."""

    # ---- one object

    async def reconcile(self, key: Key) -> float | None:
        """Make the cluster so."""
        raw = self._objects.get(key.namespace, key.name)
        if raw is None:
            return None
        raw = await status.remove_finalizer(self._api, raw, self.role.controller)
        if raw["metadata"].get("deletionTimestamp"):
            return None  # what it owns is collected by the cluster
        judged, told = self.judge(raw)
        failure, again = None, None
        try:
            deployed = await self._deployed(raw, judged)
        except UserError as error:
            deployed = Condition(DEPLOYED, "False", "BuildDeploymentSpecFailed", _cut(str(error)))
        except _Refused as refused:
            deployed, failure, again = refused.condition, refused.error, _LOOK_SECONDS
        at_work = self._reports.conditions(raw, self.role) if self._reports is not None else []
        await self._tell(raw, [*told, *at_work, deployed])
        if failure is not None:
            raise failure
        return again

    async def _deployed(self, raw: Object, judged: J) -> Condition:
        """Bring what is to run; how far that has got."""
        found = lookup.find(self._buses, raw, self.bus_role)
        existing = await self._workloads.deployment(raw)
        unfit = self.unfit(judged)
        if unfit is not None:
            return found.problem or (unfit if existing is None else _beside(unfit))
        if found.config is None or (found.problem is not None and existing is None):
            assert found.problem is not None
            return found.problem
        name = existing["metadata"]["name"] if existing else pods.named(raw, self.role)
        made = await self.make(raw, judged, found.config, name)
        deployment = await self._brought(raw, name, made, is_new=existing is None)
        if self._reports is None:
            return found.problem or self._workloads.condition(deployment)
        return found.problem or self._workloads.condition(deployment, self._reports.waiting)

    async def _brought(self, raw: Object, name: str, made: Made, *, is_new: bool) -> Object:
        try:
            deployment = await self._workloads.bring(raw, name, made.config_map, made.deployment)
        except KubeError as error:
            raise _refused("CreateDeploymentFailed" if is_new else "UpdateDeploymentFailed", error) from error
        if is_new:
            self._recorder.event(raw, "Normal", "DeploymentCreated", f"its pods are those of Deployment {name}")
        if self.role is pods.EVENT_SOURCE:
            try:
                await self._workloads.serve(raw, made.service)
            except KubeError as error:
                raise _refused("CreateServiceFailed", error) from error
            except UserError as error:
                raise _Refused(Condition(DEPLOYED, "False", "CreateServiceFailed", str(error)), None) from error
        return deployment

    async def _tell(self, raw: Object, told: Iterable[Condition]) -> None:
        """Write the status if it says something new, and Events of what changed."""
        before = conditions.all_of(raw)
        after = conditions.merged(before, told, raw["metadata"].get("generation", 0), self._now())
        stored = raw.get("status")
        kept = stored if isinstance(stored, dict) else {}
        await status.write(self._api, raw, {**kept, "conditions": after})
        known = {one.get("type") for one in before}
        for one in conditions.changed(before, after):
            is_quiet = one["type"] in TYPES[self.role.kind] and one["status"] == "True" and one["type"] not in known
            if one["status"] != "Unknown" and not is_quiet:
                is_well = one["status"] == "True" or one.get("reason") == PROGRESSING
                type_: Literal["Normal", "Warning"] = "Normal" if is_well else "Warning"
                text = one.get("message") or f"{one['type']} is {one['status']}"
                self._recorder.event(raw, type_, one.get("reason") or one["type"], text)


class _Refused(Exception):
    """The API server will not have it: a condition, and the error to try again after, if that may help."""

    def __init__(self, condition: Condition, error: KubeError | None) -> None:
        super().__init__(condition.message)
        self.condition, self.error = condition, error


def _refused(reason: str, error: KubeError) -> Exception:
    """What may pass by itself is no condition; all else is, and is tried again with back-off."""
    if error.status >= 500 or error.status in _PASSING:
        return error
    return _Refused(Condition(DEPLOYED, "False", reason, _cut(str(error))), error)


def provided(
    type_: str,
    reason: str,
    problems: Iterable[Problem],
    left_out: Mapping[str, str],
    not_run: Mapping[str, str] | None = None,
) -> Condition:
    """A condition about the parts of an object: True, or what is wrong, by name where one part alone is left out.

    `not_run`: parts that are valid, and that nothing of this version does.
    """
    problems, not_run = list(problems), not_run or {}
    if not problems and not left_out and not not_run:
        return Condition(type_, "True")
    texts = [f"{name!r} is left out: {why}" for name, why in left_out.items()] or list(map(str, problems))
    told = [f"{name!r} is not run: {why}" for name, why in not_run.items()]
    return Condition(type_, "False", reason if texts else NOT_RUN, _cut("; ".join(texts + told)))


def _beside(unfit: Condition) -> Condition:
    message = f"{unfit.message}; the pods still run what was valid before"
    return Condition(unfit.type, unfit.status, unfit.reason, message)


def _bus_key(raw: Object) -> Iterator[str]:
    yield f"{raw['metadata'].get('namespace')}/{lookup.name_of(raw)}"


def _cut(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 1]}…"
