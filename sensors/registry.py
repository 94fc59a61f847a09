"""The triggers, by spec key, and which of several counts."""

from __future__ import annotations

from typing import Any

from events.registry import Registry
from sensors.base import Kind

TRIGGERS: Registry[Kind[Any]] = Registry(
    "trigger",
    {
        "argoWorkflow": "sensors.triggers.argo_workflow:ArgoWorkflowTrigger",
        "awsLambda": "sensors.triggers.aws_lambda:AwsLambdaTrigger",
        "azureEventHubs": "sensors.triggers.azure_event_hubs:AzureEventHubsTrigger",
        "azureServiceBus": "sensors.triggers.azure_service_bus:AzureServiceBusTrigger",
        "custom": "sensors.triggers.custom:CustomTrigger",
        "email": "sensors.triggers.email:EmailTrigger",
        "http": "sensors.triggers.http:HttpTrigger",
        "k8s": "sensors.triggers.k8s:K8sTrigger",
        "kafka": "sensors.triggers.kafka:KafkaTrigger",
        "log": "sensors.triggers.log:LogTrigger",
        "nats": "sensors.triggers.nats:NatsTrigger",
        "openWhisk": "sensors.triggers.open_whisk:OpenWhiskTrigger",
        "pulsar": "sensors.triggers.pulsar:PulsarTrigger",
        "slack": "sensors.triggers.slack:SlackTrigger",
    },
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
