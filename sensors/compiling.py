"""From a Sensor's trigger to a Plan: everything that can be done once is done here, before the first event."""

from __future__ import annotations

from eventbus import subjects
from events.clients import Clients
from events.errors import UserError
from events.logs import Log
from events.metrics import Metrics
from sensors import conditions, types
from sensors.base import TriggerContext
from sensors.decision import Recorder
from sensors.dependencies import Dependencies
from sensors.firing import Action
from sensors.pipeline import Pipeline
from sensors.resets import Resets
from sensors.trigger_runner import Plan


def plan(
    sensor: types.Sensor, trigger: types.Trigger, clients: Clients, metrics: Metrics, log: Log, *, namespace: str
) -> Plan:
    """One trigger, ready to run; UserError when it cannot be."""
    template = trigger.template
    if template is None or not template.name:
        raise UserError("required", path="template.name")
    names = [dependency.name for dependency in sensor.spec.dependencies]
    condition = conditions.compile(template.conditions, names)
    used = [one for one in sensor.spec.dependencies if one.name in condition.dependencies]
    dependencies = Dependencies(used, clients.scripts())
    for topic in dependencies.topics:
        subjects.subject(*topic)  # UserError now, not at each take-over
    resets = Resets(template.conditions_reset) if template.conditions_reset else None
    context = TriggerContext(
        namespace=namespace,
        sensor_name=sensor.metadata.name,
        trigger_name=template.name,
        log=log.bind(triggerName=template.name),
        secrets=clients.credentials,
        kube=clients.kube,
        http=clients.http,
    )
    return Plan(
        name=template.name,
        pipeline=Pipeline(dependencies, condition, (namespace, sensor.metadata.name, template.name), resets),
        action=Action(trigger, context, metrics),
        is_at_least_once=bool(trigger.at_least_once),
        topics=dependencies.topics,
        signatures={one.name: one.signature for one in dependencies},
        recorder=Recorder(metrics, log, namespace=namespace, sensor=sensor.metadata.name, trigger=template.name),
    )
