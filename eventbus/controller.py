"""EventBuses on a cluster: what runs for them, what their clients are told, and their end. Contract: sensors F.5."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from eventbus import resources, secret_data, unready, validation
from eventbus.configuration import Configuration
from eventbus.resources import CONTROLLER, JetStreamObjects
from eventbus.secret_data import Data, Known
from eventbus.types import KIND, EventBus
from events import threads
from events.bounded import Bounded
from events.errors import ActionError, InvalidObject, KeryxError, UserError
from events.kube import conditions, objects, status
from events.kube.api import KubeApi, KubeError, Object, find
from events.kube.applying import Applier
from events.kube.conditions import Condition
from events.kube.controller import Controller, Key, owner_keys
from events.kube.informer import Informers
from events.kube.recording import Recorder
from events.kube.workloads import POD, pods_of
from events.logs import Log
from events.resources import API_VERSION

CONFIGURED, DEPLOYED = "Configured", "Deployed"
SUCCEEDED, SKIPPED, NOT_READY, INVALID = "Succeeded", "Skipped", "PodsNotReady", "InvalidSpec"
FAILED_SECRETS, FAILED_CONFIG_MAP = "JetStreamAuthSecretsFailed", "JetStreamConfigMapFailed"
FAILED_SERVICE, FAILED_STATEFUL_SET = "JetStreamServiceFailed", "JetStreamStatefulSetFailed"
DEFAULT = "default"
SELECTOR = f"controller={CONTROLLER}"
LOOK_AGAIN = 30.0
"""Seconds: Secrets are not watched, which would take the right to read all there are."""
_CERTIFICATES_SECONDS = 3600
"""So often certificates are looked at whose Secrets stay the same: it takes the processor for a tenth of a second."""
_REMEMBERED = 1000
_WAITING = 15.0
_MAX_MESSAGE = 2000
_DEPENDENTS = ("EventSource", "Sensor")


class _Failed(Exception):
    """A step did not work: the condition that says so, and what it was."""

    def __init__(self, reason: str, error: KeryxError) -> None:
        super().__init__(str(error))
        self.condition, self.error = Condition(DEPLOYED, "False", reason, str(error)), error


class EventBusController:
    """Reconciles EventBuses. `configuration` gives what holds now."""

    def __init__(
        self,
        api: KubeApi,
        informers: Informers,
        applier: Applier,
        recorder: Recorder,
        configuration: Callable[[], Configuration],
        *,
        log: Log,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api, self._applier, self._recorder = api, applier, recorder
        self._configuration, self._now, self._log = configuration, now, log.bind(controller=CONTROLLER)
        self._buses = informers.of(API_VERSION, KIND)
        self._children = {
            kind: informers.of(api_version, kind, label_selector=SELECTOR)
            for api_version, kind in (("v1", "ConfigMap"), ("v1", "Service"), ("apps/v1", "StatefulSet"))
        }
        self._settled: Bounded[str, tuple[Sequence[str], int, Data]] = Bounded(_REMEMBERED, _REMEMBERED)
        self._budgets = informers.of("policy/v1", "PodDisruptionBudget")
        self._pods = pods_of(informers, SELECTOR)
        self._dependents = [informers.of(API_VERSION, kind) for kind in _DEPENDENTS]

    def watch(self, controller: Controller) -> None:
        """Tell a controller what its keys depend on."""
        controller.on(self._buses)
        for informer in (*self._children.values(), self._budgets):
            controller.on(informer, owner_keys(KIND))
        controller.on(self._pods, _bus_of_pod)
        for informer in self._dependents:
            controller.on(informer, self._waited_for)

    def keys(self) -> Iterator[Key]:
        """All buses: when the configuration has changed."""
        for bus in self._buses.all():
            yield Key(bus["metadata"].get("namespace") or "", bus["metadata"]["name"])

    def _waited_for(self, dependent: Object) -> Iterator[Key]:
        """The bus of an object, while its deletion waits for that."""
        key = Key(dependent["metadata"].get("namespace") or "", _bus_of(dependent))
        bus = self._buses.get(key.namespace, key.name)
        if bus is not None and bus["metadata"].get("deletionTimestamp"):
            yield key

    async def reconcile(self, key: Key) -> float | None:
        """Make the cluster so."""
        raw = self._buses.get(key.namespace, key.name)
        if raw is None:
            return None
        if raw["metadata"].get("deletionTimestamp"):
            return await self._end(raw)
        raw = await status.ensure_finalizer(self._api, raw, CONTROLLER)
        before = raw.get("status") if isinstance(raw.get("status"), dict) else {}
        config, failure = (before or {}).get("config"), None
        try:
            bus = _valid(raw)
        except UserError as error:
            former = [_kept(one) for one in conditions.all_of(raw) if one.get("type") == DEPLOYED]
            await self._tell(raw, [Condition(CONFIGURED, "False", INVALID, str(error)), *former], config)
            return None
        try:
            config, deployed = await self._deployed(raw, bus)
        except _Failed as failed:
            deployed, failure = failed.condition, failed.error
        await self._tell(raw, [Condition(CONFIGURED, "True"), deployed], config)
        if isinstance(failure, ActionError):
            raise failure  # the server, or the way to it: with a growing pause
        return _WAITING if deployed.status != "True" else LOOK_AGAIN if deployed.reason != SKIPPED else None

    # ---- what runs

    async def _deployed(self, raw: Object, bus: EventBus) -> tuple[Object, Condition]:
        config = resources.outside(raw, bus.spec)
        if config is not None:
            text = "Skip deployment because of using exotic config."
            if bus.spec.jetstream_exotic is None:
                text = "There is no deployment; this version of Keryx runs nothing on Kafka."
            return config, Condition(DEPLOYED, "True", SKIPPED, text)
        defaults = self._configuration().jetstream
        jetstream = resources.jetstream_of(bus.spec, defaults)
        assert jetstream is not None
        made = JetStreamObjects(raw, jetstream, defaults)
        server = await _step(FAILED_SECRETS, self._bring_secrets(raw, made))
        await _step(FAILED_CONFIG_MAP, self._bring(raw, lambda _: made.config_map(server), made.names.config_map))
        await _step(FAILED_SERVICE, self._bring(raw, lambda _: made.service(), made.names.service, kind="Service"))
        if bus.spec.nats is not None:
            await _step(FAILED_STATEFUL_SET, self._end_former(raw))
        existing = await _step(FAILED_STATEFUL_SET, self._mine(raw, "apps/v1", "StatefulSet", made.names.base))
        desired = await _step(FAILED_STATEFUL_SET, _made(lambda: made.stateful_set(server, existing)))
        servers = await _step(FAILED_STATEFUL_SET, self._applier.apply(desired, existing))
        await self._bring_budget(raw, made)
        notes = [made.drift(existing)]
        if bus.spec.nats is not None:
            notes.append("it is in the place of NATS Streaming, which is past its end of life")
        told = deployed(raw, servers, "; ".join(note for note in notes if note))
        return made.status_config(), told if told.status == "True" else await self._explained(raw, servers, told)

    async def _explained(self, raw: Object, servers: Object, told: Condition) -> Condition:
        """Why the pods are not ready, where anybody says it."""
        metadata = raw["metadata"]
        pods = self._pods.by(POD, f"{metadata.get('namespace')}/{CONTROLLER}/{metadata['name']}")
        try:
            why = await unready.why(self._api, servers, pods, await self._volumes(raw))
        except ActionError as error:
            self._log.debug("Why pods are not ready cannot be found out", reason=str(error))
            return told
        if why is None:
            return told
        return Condition(DEPLOYED, told.status, why[0], f"{told.message}; {why[1]}"[:_MAX_MESSAGE])

    async def _bring_secrets(self, raw: Object, made: JetStreamObjects) -> Data:
        """Every Secret as it is to be; the data of the servers' own."""
        names = made.names
        there = {name: await self._mine(raw, "v1", "Secret", name) for name in names.secrets}
        data = {name: _decoded(one) for name, one in there.items() if one is not None}
        now = self._now()
        uid, hour = raw["metadata"]["uid"], int(now.timestamp() // _CERTIFICATES_SECONDS)
        seen = [str(one["metadata"].get("resourceVersion")) for one in there.values() if one is not None]
        settled = self._settled.get(uid)
        if settled is not None and settled[:2] == (seen, hour):
            return settled[2]
        has_key = any(data.get(name, {}).get(secret_data.ENCRYPTION) for name in (names.server, names.backup))
        config_map = await self._mine(raw, "v1", "ConfigMap", names.config_map)
        read = str(((config_map or {}).get("data") or {}).get(resources.CONFIG_KEY, ""))
        known = Known(data, read, has_volumes=not has_key and bool(await self._volumes(raw)))
        # It makes keys, which takes the processor for a second.
        wanted = await threads.in_thread(lambda: secret_data.ensured(names, known, now), "bus certificates")
        writes = 0
        for desired in made.secrets(wanted):
            name = desired["metadata"]["name"]
            is_written = await self._write(desired, there[name])
            writes += is_written
            if is_written and data and name not in data:
                text = f"Secret {name} was missing; it was written again from what the others know"
                self._recorder.event(raw, "Warning", "SecretRestored", text)
        server: Data = wanted[names.server]
        if not writes:
            self._settled.put(uid, (seen, hour, server), 1)
        return server

    async def _write(self, desired: Object, existing: Object | None) -> bool:
        """Create or change a Secret, never over what somebody wrote meanwhile; whether there was anything to do."""
        if existing is None:
            await self._api.create(desired)
            return True
        data = {**(existing.get("data") or {}), **desired["data"]}
        labels = {**(existing["metadata"].get("labels") or {}), **desired["metadata"]["labels"]}
        if data == existing.get("data") and labels == existing["metadata"].get("labels"):
            return False
        await self._api.replace({**existing, "data": data, "metadata": {**existing["metadata"], "labels": labels}})
        return True

    async def _bring(
        self, raw: Object, make: Callable[[Object | None], Object], name: str, *, kind: str = "ConfigMap"
    ) -> None:
        existing = await self._mine(raw, "v1", kind, name)
        await self._applier.apply(make(existing), existing)

    async def _bring_budget(self, raw: Object, made: JetStreamObjects) -> None:
        """The PodDisruptionBudget, unless somebody else has one for the pods: two would forbid every eviction."""
        namespace, name = made.names.namespace, made.names.base
        found, desired = self._budgets.get(namespace, name), made.disruption_budget()
        of_others = [
            one for one in self._budgets.all(namespace) if not _is_controlled(one, raw) and _selects(one, made)
        ]
        try:
            if desired is not None and not of_others:
                await self._applier.apply(desired, found)
            elif found is not None and _is_controlled(found, raw):
                await self._applier.delete(found)
        except ActionError as error:
            # The bus works without it.
            self._recorder.event(raw, "Warning", "DisruptionBudgetFailed", str(error))
            self._log.warning("The PodDisruptionBudget of a bus cannot be applied", bus=name, reason=str(error))

    async def _mine(self, raw: Object, api_version: str, kind: str, name: str) -> Object | None:
        """The object of this name, if the bus controls it; UserError when it is somebody else's."""
        namespace = raw["metadata"].get("namespace") or ""
        informer = self._children.get(kind)
        found = informer.get(namespace, name) if informer else None
        if found is None:
            found = await self._live(api_version, kind, namespace, name)
        if found is not None and not _is_controlled(found, raw):
            cure = f"delete it, or give the {KIND} another name"
            raise UserError(f"there is a {kind} {name!r} that this {KIND} does not control", cure=cure)
        return found

    async def _live(self, api_version: str, kind: str, namespace: str, name: str) -> Object | None:
        return await find(self._api, await self._api.resource(api_version, kind), name, namespace=namespace)

    async def _end_former(self, raw: Object) -> None:
        """The servers of NATS Streaming: the Service of those in their place would find them, too. Volumes stay."""
        name = f"eventbus-{raw['metadata']['name']}-stan"
        former = self._children["StatefulSet"].get(raw["metadata"].get("namespace") or "", name)
        if former is not None and _is_controlled(former, raw):
            self._recorder.event(raw, "Warning", "NatsStreamingEnded", f"StatefulSet {name} is deleted; JetStream runs")
            await self._applier.delete(former)

    # ---- the end

    async def _end(self, raw: Object) -> float | None:
        """Whatever the spec says: a bus that nobody uses any more goes, with what it stored (flaw C8)."""
        if CONTROLLER not in (raw["metadata"].get("finalizers") or []):
            return None
        users = await self._users(raw)
        if users:
            text = f"its deletion waits: it is used by {', '.join(users[:5])}{' and others' if len(users) > 5 else ''}"
            kept = {one["type"]: _kept(one) for one in conditions.all_of(raw)}
            before = kept.get(DEPLOYED, Condition(DEPLOYED, "False"))
            told = list((kept | {DEPLOYED: replace(before, message=text)}).values())
            await self._tell(raw, told, (raw.get("status") or {}).get("config"))
            self._recorder.event(raw, "Warning", "StillUsed", text)
            return _WAITING
        for one in self._children["StatefulSet"].all(raw["metadata"].get("namespace") or ""):
            if _is_controlled(one, raw):
                await self._applier.delete(one)  # else it would make the volumes' claims anew
        for claim in await self._volumes(raw):
            await self._applier.delete(claim | {"apiVersion": "v1", "kind": "PersistentVolumeClaim"})
        await status.remove_finalizer(self._api, raw, CONTROLLER)
        return None

    async def _users(self, raw: Object) -> list[str]:
        """Who uses the bus, as the server has it now."""
        namespace, found = raw["metadata"].get("namespace") or "", []
        for kind in _DEPENDENTS:
            listed = await self._api.list(await self._api.resource(API_VERSION, kind), namespace=namespace)
            for one in listed.get("items") or []:
                if _bus_of(one) == raw["metadata"]["name"] and not one["metadata"].get("deletionTimestamp"):
                    found.append(f"{kind} {one['metadata']['name']}")
        return sorted(found)

    async def _volumes(self, raw: Object) -> list[Object]:
        metadata = raw["metadata"]
        resource = await self._api.resource("v1", "PersistentVolumeClaim")
        selector = ",".join(f"{key}={value}" for key, value in resources.labels(metadata["name"]).items())
        listed = await self._api.list(resource, namespace=metadata.get("namespace"), label_selector=selector)
        return list(listed.get("items") or [])

    async def _tell(self, raw: Object, new: list[Condition], config: Any) -> None:
        """Write the status when it says something new, and an Event for each condition that does."""
        before = conditions.all_of(raw)
        after = conditions.merged(before, new, raw["metadata"].get("generation") or 0, self._now())
        told = {"conditions": after} | ({"config": config} if config else {})
        await status.write(self._api, raw, told)
        for one in conditions.changed(before, after):
            reason, message = one.get("reason") or one["type"], one.get("message") or one["type"]
            self._recorder.event(raw, "Normal" if one["status"] == "True" else "Warning", reason, message)


def deployed(raw: Object, servers: Object, note: str) -> Condition:
    """Whether the servers run. Once all did, a majority is enough: a roll-out, or a lost node, does not end the bus."""
    wanted, found = servers["spec"].get("replicas") or 0, servers.get("status") or {}
    seen = (found.get("observedGeneration") or 0) >= (servers["metadata"].get("generation") or 0)
    ready = min(found.get("readyReplicas") or 0, wanted)
    was_ready = any(one.get("type") == DEPLOYED and one.get("status") == "True" for one in conditions.all_of(raw))
    notes = [note] if note else []
    if ready < wanted or not seen or (found.get("updatedReplicas") or 0) < wanted:
        notes.insert(0, f"{ready} of {wanted} pods are ready")
        if not (was_ready and ready > wanted // 2):
            return Condition(DEPLOYED, "False", NOT_READY, "; ".join(notes))
    return Condition(DEPLOYED, "True", SUCCEEDED, "; ".join(["JetStream is deployed", *notes]))


def _valid(raw: Object) -> EventBus:
    """The bus; InvalidObject when it is none that can be had."""
    bus = EventBus.parse(raw, lenient=True)
    problems = validation.validate(bus)
    if problems.errors:
        raise InvalidObject(problems.errors)
    return bus


async def _step(reason: str, work: Awaitable[Any]) -> Any:
    try:
        return await work
    except (UserError, ActionError) as error:
        if isinstance(error, KubeError) and error.status == 409:
            raise  # somebody wrote first: no failure, look again
        raise _Failed(reason, error) from error


async def _made(make: Callable[[], Object]) -> Object:
    return make()


def _kept(one: Mapping[str, Any]) -> Condition:
    return Condition(one["type"], one.get("status", "Unknown"), one.get("reason", ""), one.get("message", ""))


def _bus_of(dependent: Object) -> str:
    spec = dependent.get("spec")
    named = spec.get("eventBusName") if isinstance(spec, dict) else ""
    return str(named or DEFAULT)


def _bus_of_pod(pod: Object) -> Iterator[Key]:
    metadata = pod["metadata"]
    name = (metadata.get("labels") or {}).get("eventbus-name")
    if name:
        yield Key(metadata.get("namespace") or "", name)


def _is_controlled(obj: Object, raw: Object) -> bool:
    owners = obj["metadata"].get("ownerReferences") or []
    return any(one.get("controller") and one.get("uid") == raw["metadata"]["uid"] for one in owners)


def _selects(budget: Object, made: JetStreamObjects) -> bool:
    """Whether a PodDisruptionBudget is, by plain labels, about the pods of the bus."""
    selector = (budget.get("spec") or {}).get("selector") or {}
    wanted, given = selector.get("matchLabels") or {}, made.jetstream.metadata
    pods = {**((given.labels if given else None) or {}), **resources.labels(made.names.bus)}
    return bool(wanted) and not selector.get("matchExpressions") and wanted.items() <= pods.items()


def _decoded(secret: Object) -> Data:
    try:
        return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    except ValueError as error:
        name = objects.describe(secret)
        raise UserError(f"{name} holds something that is no text", cure="delete it: it is written again") from error
