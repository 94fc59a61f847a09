"""`keryx wf archive …`: finished Workflows, also those that were deleted. Contract: workflows K.5, N."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from events import workflow_retry
from events.app.workflows import printing
from events.app.workflows.commands import Shown, Submitting, follow
from events.app.workflows.session import Session
from events.errors import ActionError, UserError
from events.kube.api import KubeError, Object
from events.local.workflows import variables
from events.threads import in_thread
from events.workflow_resubmit import resubmitted
from sensors import workflow_options

Say = Callable[[str], None]
T = TypeVar("T")
_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "deletionTimestamp", "finalizers")


async def _read(act: Callable[[], T]) -> T:
    try:
        return await in_thread(act, "archive")
    except ActionError as error:
        raise UserError(str(error)) from error


async def _found(session: Session, text: str) -> Object:
    """One by its uid, or the last of its name in the namespace."""
    archive = session.archive()
    found = await _read(lambda: archive.get(text) or archive.find(session.namespace, text))
    if found is None:
        cure = "keryx wf archive list shows what there is"
        raise UserError(f"the archive has no workflow with the uid or name {text!r}", cure=cure)
    return found


async def list_all(session: Session, *, everywhere: bool, most: int, output: str, say: Say) -> int:
    """Show archived Workflows, the last that finished first."""
    archive, home = session.archive(), "" if everywhere else session.namespace
    found = await _read(lambda: archive.list(home, most))
    if output == "name":
        for one in found:
            say(one["metadata"]["name"])
    elif output in ("json", "yaml"):
        say(printing.written(found, output).rstrip("\n"))
    else:
        text = printing.listed(
            found, datetime.now(UTC), with_namespace=True, is_wide=output == "wide", heading=True, with_uid=True
        )
        say(text.rstrip("\n"))
    return 0


async def get(session: Session, names: Sequence[str], shown: Shown, say: Say) -> int:
    """Show some."""
    for name in names:
        found = await _found(session, name)
        if shown.output == "name":
            say(found["metadata"]["name"])
        elif shown.output in ("json", "yaml"):
            say(printing.written(found, shown.output).rstrip("\n"))
        else:
            say(printing.shown(found, datetime.now(UTC), shown.style).rstrip("\n"))
    return 0


async def delete(session: Session, names: Sequence[str], say: Say) -> int:
    """Forget some for good."""
    archive = session.archive()
    for name in names:
        uid = (await _found(session, name))["metadata"]["uid"]
        await _read(lambda uid=uid: archive.delete(uid))  # type: ignore[misc]  # the value is bound at once
        say(f"Archived workflow '{uid}' deleted")
    return 0


async def retry(
    session: Session, names: Sequence[str], options: workflow_retry.Options, wanted: Submitting, shown: Shown, say: Say
) -> int:
    """Create them again as they ended, to begin where they failed."""
    code = 0
    for name in names:
        found = workflow_retry.retried(await _found(session, name), variables.instant(datetime.now(UTC)), options)
        meta = {key: value for key, value in found.workflow["metadata"].items() if key not in _OWN}
        try:
            made = await session.create({**found.workflow, "metadata": meta})
        except KubeError as error:
            if error.status != 409:
                raise
            cure = f"keryx wf retry {meta['name']}"
            raise UserError(f"workflow {meta['name']} is still there", cure=cure) from error
        code = max(code, await follow(session, made, wanted, shown, say))
    return code


async def resubmit(session: Session, names: Sequence[str], wanted: Submitting, shown: Shown, say: Say) -> int:
    """Create them once more."""
    code = 0
    for name in names:
        made = resubmitted(await _found(session, name))
        workflow_options.apply(wanted.options, made)
        code = max(code, await follow(session, await session.create(made), wanted, shown, say))
    return code
