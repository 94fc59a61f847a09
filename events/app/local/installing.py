"""What is there before the first object of a user: the kinds that this project knows."""

from __future__ import annotations

from events.app import crds
from events.kube import patches
from events.kube.api import KubeApi, KubeError
from events.local.workflows import definitions as workflows

_MANAGER = "keryx-up"


async def install(api: KubeApi) -> None:
    """Create or renew the definitions. Raises ActionError."""
    resource = await api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    for it in [*crds.definitions(), *workflows.definitions()]:
        try:
            await api.create(it)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
            await api.patch(
                resource,
                it["metadata"]["name"],
                it,
                content_type=patches.APPLY,
                params={"fieldManager": _MANAGER, "force": "true"},
            )
