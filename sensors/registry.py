"""The triggers, by spec key, and which of several counts."""

from __future__ import annotations

from typing import Any

from events.registry import Registry
from sensors.base import Trigger

TRIGGERS: Registry[Trigger[Any]] = Registry(
    "trigger",
    {
        "argoWorkflow": "sensors.triggers.argo_workflow:ArgoWorkflowTrigger",
        "http": "sensors.triggers.http:HttpTrigger",
        "k8s": "sensors.triggers.k8s:K8sTrigger",
        "log": "sensors.triggers.log:LogTrigger",
    },
    missing=(
        "awsLambda",
        "azureEventHubs",
        "azureServiceBus",
        "custom",
        "email",
        "kafka",
        "nats",
        "openWhisk",
        "pulsar",
        "slack",
    ),
)

# Contract B.4: when a template has several kinds, the first of these.
PRECEDENCE = (
    "k8s",
    "argoWorkflow",
    "http",
    "awsLambda",
    "azureEventHubs",
    "azureServiceBus",
    "kafka",
    "pulsar",
    "nats",
    "slack",
    "openWhisk",
    "custom",
    "log",
    "email",
)
