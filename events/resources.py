"""What the three custom resources have in common: metadata, pod template, conditions. Contract: sensors 0.1.

Embedded Kubernetes objects stay raw: the API server knows their schema.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ConfigDict, Field

from events.model import Model

API_VERSION = "argoproj.io/v1alpha1"
_LABEL_LENGTH = 63


def dns_label(text: str) -> str:
    """`text` as a DNS label, for names of volumes: lower case, other characters as hyphens, cut (sensors F.6)."""
    return re.sub("[^a-z0-9-]", "-", text.lower()).strip("-")[:_LABEL_LENGTH]


def pods(replicas: int | None) -> int:
    """How many pods a Sensor or EventSource has: at least one."""
    return max(1, replicas or 1)


class ObjectMeta(Model):
    """The metadata that this project reads; everything else is kept by whoever stores the object."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    creation_timestamp: Any = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    generation: int | None = None


class Metadata(Model):
    """Labels and annotations to put on something."""

    annotations: dict[str, str] | None = Field(None, description="Annotations.")
    labels: dict[str, str] | None = Field(None, description="Labels.")


class Container(Model):
    """What may be set on the container of a generated pod."""

    resources: dict[str, Any] | None = Field(None, description="Compute resources.")
    image_pull_policy: str | None = Field(None, description="Always, IfNotPresent or Never.")
    security_context: dict[str, Any] | None = Field(None, description="Security context of the container.")
    volume_mounts: list[dict[str, Any]] | None = Field(None, description="Further volume mounts.")
    env: list[dict[str, Any]] | None = Field(None, description="Further environment variables.")
    env_from: list[dict[str, Any]] | None = Field(None, description="Further sources of environment variables.")


class Template(Model):
    """What may be set on the pods of a Sensor or EventSource."""

    metadata: Metadata | None = Field(None, description="Labels and annotations of the pod.")
    service_account_name: str | None = Field(None, description="Service account of the pod.")
    container: Container | None = Field(None, description="Settings of the pod's container.")
    volumes: list[dict[str, Any]] | None = Field(None, description="Further volumes.")
    security_context: dict[str, Any] | None = Field(None, description="Security context of the pod.")
    node_selector: dict[str, str] | None = Field(None, description="Labels that the node must carry.")
    tolerations: list[dict[str, Any]] | None = Field(None, description="Taints that the pod tolerates.")
    image_pull_secrets: list[dict[str, Any]] | None = Field(None, description="Secrets to pull the image with.")
    priority_class_name: str | None = Field(None, description="Priority class of the pod.")
    priority: int | None = Field(None, description="Priority of the pod.")
    affinity: dict[str, Any] | None = Field(None, description="Affinity of the pod.")


class Condition(Model):
    """One aspect of an object's state."""

    type: str = Field(description="Which aspect.")
    status: str = Field(description="True, False or Unknown.")
    last_transition_time: Any = Field(None, description="When it last changed.")
    reason: str | None = Field(None, description="One word for why.")
    message: str | None = Field(None, description="What is the matter, and what to do about it.")
    observed_generation: int | None = Field(None, description="Generation of the object that this is about.")


class Status(Model):
    """Status of a Sensor or EventSource."""

    model_config = ConfigDict(extra="ignore")

    conditions: list[Condition] | None = Field(None, description="What is the matter with the object, by aspect.")
