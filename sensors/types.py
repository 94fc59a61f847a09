"""The Sensor custom resource. Contract: sensors A.1, A.2, A.5, B.4, C.1.

A trigger's own part (`http`, `k8s` …) stays raw here; the registry loads the one `Spec` it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import Field, model_validator

from events.backoff import Backoff
from events.model import Model
from events.resources import ObjectMeta, Status, Template
from sensors.registry import TRIGGERS

KIND = "Sensor"

# Flaw D3: upstream ignores them there, also in two of its own examples.
_BESIDE_TEMPLATE = ("atLeastOnce", "concurrency", "dlqTrigger", "parameters", "policy", "rateLimit", "retryStrategy")
_BESIDE = "beside `template`, not in it"
_IN_TEMPLATE = ("name", "conditions", "conditionsReset", *TRIGGERS.keys())


class ExprField(Model):
    """A value that an expression uses."""

    path: str = Field("", description="Path of the value in the event's data.")
    name: str = Field("", description="Name of the value in the expression.")


class ExprFilter(Model):
    """A boolean expression over values of the event's data."""

    expr: str = Field("", description="Expression; the event passes when it is true.")
    fields: list[ExprField] = Field(default_factory=list, description="Values that the expression uses.")


class DataFilter(Model):
    """A value of the event's data compared with a list of values."""

    path: str = Field("", description="Path of the value in the event's data.")
    type: str = Field("", description="How values are compared: bool, number or string.")
    value: list[str] = Field(default_factory=list, description="Values, of which any may match; strings are RE2.")
    comparator: str = Field("", description="One of >= > = != < <=; = when absent.")
    template: str | None = Field(None, description="Go template that changes the value before it is compared.")


class EventContext(Model):
    """Attributes that an event must have."""

    id: str | None = Field(None, description="Ignored.")
    source: str | None = Field(None, description="Name of the event source.")
    specversion: str | None = Field(None, description="Ignored.")
    type: str | None = Field(None, description="Type of the event source.")
    datacontenttype: str | None = Field(None, description="Media type of the data.")
    subject: str | None = Field(None, description="Name of the event.")
    time: Any = Field(None, description="Ignored.")


class TimeFilter(Model):
    """A time of day between which events pass."""

    start: str = Field("", description="HH:MM:SS, included.")
    stop: str = Field("", description="HH:MM:SS, excluded; before `start`: over midnight.")
    timezone: str | None = Field(None, description="IANA zone; UTC when absent.")


class EventDependencyFilter(Model):
    """What an event must satisfy."""

    exprs: list[ExprFilter] | None = Field(None, description="Expressions.")
    expr_logical_operator: str | None = Field(None, description="How expressions combine: and (default) or or.")
    data: list[DataFilter] | None = Field(None, description="Comparisons of values of the data.")
    data_logical_operator: str | None = Field(None, description="How comparisons combine: and (default) or or.")
    context: EventContext | None = Field(None, description="Attributes the event must have.")
    time: TimeFilter | None = Field(None, description="Time of day.")
    script: str | None = Field(None, description="Lua script that returns true for events that pass.")
    jmespath: str | None = Field(None, description="JMESPath expression that is true for events that pass (ours).")


class EventDependencyTransformer(Model):
    """How an event's data is changed before it is filtered."""

    jq: str | None = Field(None, description="jq program; its first output becomes the data.")
    script: str | None = Field(None, description="Lua script that returns the new data.")
    jmespath: str | None = Field(None, description="JMESPath expression whose result becomes the data (ours).")


class EventDependency(Model):
    """An event that triggers may wait for."""

    name: str = Field("", description="Name of the dependency, used in conditions and parameters.")
    event_source_name: str = Field("", description="Name of the EventSource.")
    event_name: str = Field("", description="Name of the event in the EventSource.")
    filters: EventDependencyFilter | None = Field(None, description="What the event must satisfy.")
    filters_logical_operator: str | None = Field(None, description="How kinds of filter combine: and (default) or or.")
    transform: EventDependencyTransformer | None = Field(None, description="How the data is changed first.")


class TriggerParameterSource(Model):
    """Where a parameter's value comes from."""

    dependency_name: str = Field("", description="Dependency whose event is used.")
    context_key: str | None = Field(None, description="Path in the event's attributes.")
    context_template: str | None = Field(None, description="Go template over the event's attributes.")
    data_key: str | None = Field(None, description="Path in the event's data.")
    data_template: str | None = Field(None, description="Go template over the event's data.")
    value: str | None = Field(None, description="Default.")
    use_raw_data: bool | None = Field(None, description="Write numbers, booleans and objects as they are, not as text.")


class TriggerParameter(Model):
    """A value from an event, written into a resource."""

    src: TriggerParameterSource | None = Field(None, description="Where the value comes from.")
    dest: str = Field("", description="Path at which it is written.")
    operation: str | None = Field(None, description="overwrite (default), append or prepend.")


class ByTime(Model):
    """Points in time."""

    cron: str = Field("", description="Five-field cron schedule.")
    timezone: str | None = Field(None, description="IANA zone.")


class ConditionsReset(Model):
    """When events that wait for others are dropped."""

    by_time: ByTime | None = Field(None, description="At these times.")


class K8SResourcePolicy(Model):
    """Labels that a created object must come to carry."""

    labels: dict[str, str] | None = Field(None, description="Labels that mean success.")
    backoff: Backoff | None = Field(None, description="How often to look.")
    error_on_backoff_timeout: bool | None = Field(None, description="Whether running out of looks is a failure.")


class StatusPolicy(Model):
    """Status codes that mean success."""

    allow: list[int] | None = Field(None, description="Status codes that mean success.")


class TriggerPolicy(Model):
    """What counts as success."""

    k8s: K8SResourcePolicy | None = Field(None, alias="k8s", description="For k8s and argoWorkflow.")
    status: StatusPolicy | None = Field(None, description="For http, awsLambda and openWhisk.")


class RateLimit(Model):
    """How many firings a trigger may start."""

    unit: str | None = Field(None, description="Second (default), Minute or Hour.")
    requests_per_unit: int | None = Field(None, description="Firings per unit.")


class Concurrency(Model):
    """How firings of a trigger overlap (ours)."""

    max: int | None = Field(
        None, description="Firings that may overlap, 1 to 1024. Default: 1 with atLeastOnce, else 64."
    )
    key: TriggerParameterSource | None = Field(
        None, description="A value of the events: firings with the same one stay in order, one after another."
    )


class TriggerTemplate(Model):
    """Name, conditions and one kind of trigger."""

    elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType(dict.fromkeys(_BESIDE_TEMPLATE, _BESIDE))
    gathered: ClassVar[tuple[str, ...]] = tuple(TRIGGERS.keys())
    tolerated: ClassVar[frozenset[str]] = frozenset(("openwhisk",))

    name: str = Field("", description="Name of the trigger, unique in the Sensor.")
    conditions: str | None = Field(None, description="Which dependencies must be there: names, &&, ||, parentheses.")
    conditions_reset: list[ConditionsReset] | None = Field(None, description="When waiting events are dropped.")
    kinds: dict[str, dict[str, Any]] = Field(
        default_factory=dict, exclude=True, description="Trigger key -> its spec; the first by precedence counts."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_kinds(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "kinds" in raw:
            return raw
        found = {key: raw[key] for key in TRIGGERS.keys() if raw.get(key) is not None}  # noqa: SIM118
        return {key: value for key, value in raw.items() if key not in TRIGGERS} | {"kinds": found}


class Trigger(Model):
    """What to do when its conditions are met."""

    elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType(
        dict.fromkeys(_IN_TEMPLATE, "in `template`, not beside it")
    )

    template: TriggerTemplate | None = Field(None, description="Name, conditions and kind.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into the template.")
    policy: TriggerPolicy | None = Field(None, description="What counts as success.")
    retry_strategy: Backoff | None = Field(None, description="How failed attempts are repeated (with atLeastOnce).")
    rate_limit: RateLimit | None = Field(None, description="How many firings may start.")
    at_least_once: bool | None = Field(None, description="Act, then remember: every event is acted on, maybe twice.")
    concurrency: Concurrency | None = Field(None, description="How firings overlap (ours).")
    dlq_trigger: Trigger | None = Field(None, description="Fired with the same events when all attempts failed.")


class SensorSpec(Model):
    """Dependencies and triggers."""

    dependencies: list[EventDependency] = Field(default_factory=list, description="Events that triggers wait for.")
    triggers: list[Trigger] = Field(default_factory=list, description="What to do.")
    template: Template | None = Field(None, description="Settings of the pods.")
    error_on_failed_round: bool | None = Field(None, description="Accepted for compatibility.")
    event_bus_name: str | None = Field(None, description="EventBus in the same namespace; `default` when absent.")
    replicas: int | None = Field(None, description="Number of pods; one is active.")
    revision_history_limit: int | None = Field(None, description="Old ReplicaSets to keep.")
    logging_fields: dict[str, str] | None = Field(None, description="Fields on every log line.")


class Sensor(Model):
    """A Sensor object."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: SensorSpec
    status: Status | None = None
