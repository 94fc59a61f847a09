"""From a Sensor to a Plan for each trigger: everything that can be done once is done here, before the first event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from eventbus import subjects
from events.clients import Clients
from events.errors import NotAvailable, UserError
from events.findings import Findings
from events.logs import Log
from events.metrics import Metrics
from sensors import conditions, preflight, types, validation
from sensors.base import TriggerContext
from sensors.concurrency import Concurrency
from sensors.decision import Recorder
from sensors.dependencies import Dependencies
from sensors.firing import Action
from sensors.former import as_upstream
from sensors.health import SensorHealth
from sensors.matching import Matches
from sensors.pipeline import Pipeline
from sensors.resets import Resets
from sensors.trigger_runner import Plan


class Compiler:
    """Compiles the triggers of one sensor; what several of them wait for is compiled, and matched, once."""

    def __init__(
        self,
        sensor: types.Sensor,
        clients: Clients,
        metrics: Metrics,
        log: Log,
        *,
        namespace: str,
        health: SensorHealth | None = None,
    ) -> None:
        self._health = health or SensorHealth(Findings(), clients.kube, log)
        self._sensor, self._clients, self._metrics, self._log = sensor, clients, metrics, log
        self._namespace, self._name = namespace, sensor.metadata.name
        self._names = [dependency.name for dependency in sensor.spec.dependencies]
        self._compiled: dict[str, Dependencies] = {}
        self._matches = Matches() if self._share_dependencies() else None

    def _share_dependencies(self) -> bool:
        """Whether some dependency has several triggers waiting for it."""
        used: Counter[str] = Counter()
        for trigger in self._sensor.spec.triggers:
            try:
                used.update(set(self._condition(trigger).dependencies))
            except UserError:
                continue  # said when that trigger is compiled
        return any(count > 1 for count in used.values())

    def _condition(self, trigger: types.Trigger) -> conditions.Condition:
        return conditions.compile(trigger.template.conditions if trigger.template else None, self._names)

    def plan(self, trigger: types.Trigger) -> Plan:
        """One trigger, ready to run; UserError when it cannot be."""
        template = trigger.template
        if template is None or not template.name:
            raise UserError("required", path="template.name")
        for problem in validation.why_not_run(trigger):
            raise NotAvailable(problem.message, path=problem.path)
        condition = self._condition(trigger)
        dependencies = self._dependencies(condition.dependencies)
        for topic in dependencies.topics:
            subjects.subject(*topic)  # UserError now, not at each take-over
        resets = Resets(template.conditions_reset) if template.conditions_reset else None
        scope = (self._namespace, self._name, template.name)
        health = self._health.trigger(template.name, preflight.wanted(trigger))
        return Plan(
            name=template.name,
            pipeline=Pipeline(dependencies, condition, scope, resets, self._matches),
            action=Action(trigger, self._context(template.name), self._metrics, health),
            health=health,
            is_at_least_once=bool(trigger.at_least_once),
            topics=dependencies.topics,
            signatures={one.name: one.signature for one in dependencies},
            concurrency=Concurrency(trigger.concurrency),
            upstream=as_upstream(
                template.conditions, condition, {spec.name: spec for spec in self._sensor.spec.dependencies}
            ),
            recorder=Recorder(
                self._metrics, self._log, namespace=self._namespace, sensor=self._name, trigger=template.name
            ),
        )

    def _dependencies(self, names: Collection[str]) -> Dependencies:
        """Those with these names; a wrong one stops only the triggers that wait for it."""
        specs = {spec.name: spec for spec in self._sensor.spec.dependencies if spec.name in names}
        for name, spec in specs.items():
            if name not in self._compiled:
                self._compiled[name] = Dependencies([spec], self._clients.scripts())
        return Dependencies.joined([self._compiled[name] for name in specs])

    def _context(self, trigger: str) -> TriggerContext:
        clients = self._clients
        return TriggerContext(
            namespace=self._namespace,
            sensor_name=self._name,
            trigger_name=trigger,
            log=self._log.bind(triggerName=trigger),
            secrets=clients.credentials,
            kube=clients.kube,
            http=clients.http,
        )
