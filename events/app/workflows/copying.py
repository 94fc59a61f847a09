"""`keryx wf cp`: output artifacts of a Workflow, copied here. Contract: workflows N."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from events.app.workflows.session import Session
from events.errors import UserError
from events.local.workflows.artifacts import locations
from events.threads import in_thread

Object = Mapping[str, Any]
PATH = "{namespace}/{workflowName}/{nodeId}/outputs/{artifactName}"


@dataclass(frozen=True)
class Wanted:
    """Which artifacts, and where they go below the folder; empty: all."""

    node: str = ""
    template: str = ""
    artifact: str = ""
    path: str = PATH


async def copy(session: Session, name: str, folder: Path, wanted: Wanted, say: Callable[[str], None]) -> int:
    """Copy the artifacts that are meant; a line for each."""
    workflow = await session.get(name)
    meta, status = workflow["metadata"], workflow.get("status") or {}
    place = (status.get("artifactRepositoryRef") or {}).get("artifactRepository") or {}
    count = 0
    for node, artifact in _chosen(status, wanted):
        location = locations.located(artifact["s3"], place)
        if location.bucket is None:
            session.folder()  # says what to do where the local store is out of reach
        store = await session.stores().of(meta["namespace"], location)
        target = folder / _path(wanted.path, meta, node, artifact) / PurePosixPath(location.key).name
        await in_thread(lambda target=target: target.parent.mkdir(parents=True, exist_ok=True), "copy")  # type: ignore[misc]  # bound at once
        if not await store.fetch(location.key, target):
            raise UserError(f"artifact {artifact['name']}: {location} does not exist any more")
        say(f"{target}")
        count += 1
    if not count:
        raise UserError(f"workflow {meta['name']} has no such artifact", cure="see keryx wf get -o yaml")
    return 0


def _chosen(status: Object, wanted: Wanted) -> Iterator[tuple[Object, Object]]:
    for node in (status.get("nodes") or {}).values():
        template = (node.get("templateRef") or {}).get("template") or node.get("templateName") or ""
        is_meant = wanted.node in ("", node["id"]) and wanted.template in ("", template)
        if node.get("type") != "Pod" or not is_meant:
            continue
        for one in (node.get("outputs") or {}).get("artifacts") or ():
            if (one.get("s3") or {}).get("key") and not one.get("deleted") and wanted.artifact in ("", one["name"]):
                yield node, one


def _path(text: str, meta: Object, node: Object, artifact: Object) -> str:
    given = {
        "namespace": meta["namespace"],
        "workflowName": meta["name"],
        "nodeId": node["id"],
        "templateName": node.get("templateName", ""),
        "artifactName": artifact["name"],
    }
    try:
        return text.format(**given)
    except (KeyError, IndexError, ValueError) as error:
        cure = "use " + ", ".join(f"{{{name}}}" for name in given)
        raise UserError(f"--path {text!r} cannot be filled: {error}", cure=cure) from error
