"""The commands of `keryx wf`, each with a session. Contract: workflows N."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from events import durations, workflow_retry, yamls
from events.app import kubeconfig
from events.app.workflows import linting, logs, printing
from events.app.workflows.session import Session, opened
from events.errors import ActionError, UserError
from events.kube.api import KubeError, Object
from events.local.workflows import variables
from events.local.workflows.tree import Style

_FINAL = ("Succeeded", "Failed", "Error")
_CLEAR = "\033[H\033[2J"


@dataclass
class Common:
    """What every command may be told."""

    kubeconfig: Path | None = None
    namespace: str = ""
    """Empty: that of the kubeconfig's context."""
    say: Callable[[str], None] = print
    data: Path | None = None
    """The data directory of `keryx up`."""


@dataclass
class Shown:
    """How Workflows are shown."""

    output: str = ""
    utf8: bool = True

    @property
    def style(self) -> Style:
        return Style(self.output, self.utf8)


def run(common: Common, work: Callable[[Session], Awaitable[int]]) -> int:
    """A command with a session; what the server refuses is a UserError with its words."""

    async def whole() -> int:
        where = str(common.kubeconfig) if common.kubeconfig else None
        home = common.namespace or kubeconfig.namespace(where, None)
        async with opened(where, home, common.data) as session:
            return await work(session)

    try:
        return asyncio.run(whole())
    except UserError:
        raise
    except KubeError as error:
        raise UserError(error.message, cure=_cure(error)) from error
    except ActionError as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        return 130


def _cure(error: KubeError) -> str:
    return "keryx wf list shows what there is" if error.status == 404 else ""


@dataclass
class Submitting:
    """Of submit and resubmit."""

    files: list[Path] = field(default_factory=list)
    origin: str = ""
    options: list[tuple[str, Any]] = field(default_factory=list)
    is_dry: bool = False
    waits: bool = False
    watches: bool = False
    logs: bool = False


async def submit(session: Session, wanted: Submitting, shown: Shown, say: Callable[[str], None]) -> int:
    """Create the Workflows of files, or of a template."""
    made: list[Object] = []
    if wanted.origin:
        made.append(await session.submit_from(wanted.origin, wanted.options))
    for path in wanted.files:
        made += linting.workflows_of(path)
    if not made:
        raise UserError("there is no Workflow to submit", cure="give a file that has one, or --from KIND/NAME")
    from sensors import workflow_options

    code = 0
    for obj in made:
        if not wanted.origin:
            workflow_options.apply(wanted.options, obj)
        if wanted.is_dry:
            say(printing.written(obj, shown.output if shown.output in ("json", "yaml") else "yaml").rstrip("\n"))
            continue
        found = await session.submit(obj)
        code = max(code, await follow(session, found, wanted, shown, say))
    return code


async def follow(session: Session, obj: Object, wanted: Submitting, shown: Shown, say: Callable[[str], None]) -> int:
    """Show a Workflow that begins, and stay with it as far as was asked."""
    name = obj["metadata"]["name"]
    if wanted.watches:
        return await watch(session, name, shown, say)
    _show(obj, shown, say)
    if wanted.logs:
        await logs.show(session, name, "", logs.Wanted(follows=True), say, say)
    if wanted.waits or wanted.logs:
        ended = await session.finished(name)
        status = ended["status"]
        if wanted.waits:
            say(f"{name} {status['phase']} at {status.get('finishedAt', '')}")
            return 0 if status["phase"] == "Succeeded" else 1
    return 0


def _show(obj: Object, shown: Shown, say: Callable[[str], None]) -> None:
    if shown.output == "name":
        say(obj["metadata"]["name"])
    elif shown.output in ("json", "yaml"):
        say(printing.written(obj, shown.output).rstrip("\n"))
    else:
        say(printing.shown(obj, datetime.now(UTC), shown.style).rstrip("\n"))


async def get(session: Session, several: list[str], shown: Shown, say: Callable[[str], None]) -> int:
    """Show Workflows, those that were deleted from the archive."""
    for name in several:
        _show(await session.get_or_archived(name), shown, say)
    return 0


async def watch(session: Session, name: str, shown: Shown, say: Callable[[str], None]) -> int:
    """Draw a Workflow again and again until it has ended."""
    name = (await session.get(name))["metadata"]["name"]
    while True:
        found = await session.get(name)
        say(_CLEAR + printing.shown(found, datetime.now(UTC), shown.style).rstrip("\n"))
        if (found.get("status") or {}).get("phase") in _FINAL:
            return 0
        await asyncio.sleep(1)


@dataclass
class Filter:
    """Which Workflows."""

    everywhere: bool = False
    status: str = ""
    is_running: bool = False
    is_completed: bool = False
    is_resubmitted: bool = False
    prefix: str = ""
    since: str = ""
    older: str = ""
    selector: str = ""

    def accepts(self, obj: Object, now: datetime) -> bool:
        """Whether a Workflow is meant."""
        meta, phase = obj["metadata"], (obj.get("status") or {}).get("phase") or "Pending"
        is_over, created = phase in _FINAL, meta.get("creationTimestamp")
        age = now - variables.parsed(created) if created else timedelta()
        ended = (obj.get("status") or {}).get("finishedAt")
        gone = now - variables.parsed(ended) if ended else timedelta()
        return all(
            (
                not self.status or phase in self.status.split(","),
                not self.is_running or not is_over,
                not self.is_completed or is_over,
                not self.is_resubmitted or "workflows.argoproj.io/resubmitted-from-workflow" in meta.get("labels", {}),
                meta["name"].startswith(self.prefix),
                not self.since or age <= _age(self.since),
                not self.older or (bool(ended) and gone >= _age(self.older)),
            )
        )


def _age(text: str) -> timedelta:
    """A duration; `2d` too."""
    if text.endswith("d") and text[:-1].isdecimal():
        return timedelta(days=int(text[:-1]))
    return durations.delta(text)


async def selected(session: Session, wanted: Filter) -> list[Object]:
    """The Workflows that a filter means."""
    now = datetime.now(UTC)
    several = await session.list(everywhere=wanted.everywhere, selector=wanted.selector)
    return [one for one in several if wanted.accepts(one, now)]


async def list_all(
    session: Session, wanted: Filter, output: str, say: Callable[[str], None], *, heading: bool = True
) -> int:
    """Show the Workflows of a namespace."""
    found = await selected(session, wanted)
    if output == "name":
        for one in printing.ordered(found):
            say(one["metadata"]["name"])
    elif output in ("json", "yaml"):
        say(printing.written(found, output).rstrip("\n"))
    else:
        is_wide, everywhere = output == "wide", wanted.everywhere
        text = printing.listed(found, datetime.now(UTC), with_namespace=everywhere, is_wide=is_wide, heading=heading)
        say(text.rstrip("\n"))
    return 0


@dataclass(frozen=True)
class Several:
    """Workflows by name, and by a selector of labels; `is_dry`: only say which."""

    names: list[str]
    selector: str = ""
    is_dry: bool = False


async def each(
    session: Session,
    wanted: Several,
    act: Callable[[str], Awaitable[Any]],
    done: str,
    say: Callable[[str], None],
) -> int:
    """One operation on each, with a line for it; those that a selector means and that have ended are left out."""
    if not wanted.names and not wanted.selector:
        raise UserError("no workflow is named", cure="give names, @latest, or -l SELECTOR")
    chosen = [(await session.get(name))["metadata"]["name"] for name in wanted.names]
    if wanted.selector:
        found = await session.list(selector=wanted.selector)
        chosen += [one["metadata"]["name"] for one in found if (one.get("status") or {}).get("phase") not in _FINAL]
    for name in chosen:
        if not wanted.is_dry:
            await act(name)
        say(f"workflow {name} {done}{' (dry-run)' if wanted.is_dry else ''}")
    return 0


async def delete(session: Session, several: list[str], wanted: Filter | None, say: Callable[[str], None]) -> int:
    """Delete Workflows by name, or all that a filter means."""
    chosen = [(await session.get(name))["metadata"]["name"] for name in several]
    if wanted is not None:
        chosen += [one["metadata"]["name"] for one in await selected(session, wanted)]
    for name in chosen:
        await session.delete(name)
        say(f"Workflow '{name}' deleted")
    return 0


async def retry(
    session: Session,
    several: list[str],
    options: workflow_retry.Options,
    wanted: Submitting,
    shown: Shown,
    say: Callable[[str], None],
) -> int:
    """Begin again where they failed."""
    code = 0
    for name in several:
        real = (await session.get(name))["metadata"]["name"]
        code = max(code, await follow(session, await session.retry(real, options), wanted, shown, say))
    return code


async def resubmit(
    session: Session, several: list[str], wanted: Submitting, shown: Shown, say: Callable[[str], None], *, keeps: bool
) -> int:
    """Create them once more."""
    code = 0
    for name in several:
        made = await session.resubmit(name, wanted.options, keeps=keeps)
        code = max(code, await follow(session, made, wanted, shown, say))
    return code


_SETTABLE = ("", "Succeeded", "Failed", "Error", "Skipped")


@dataclass(frozen=True)
class Setting:
    """What suspended nodes are given."""

    selector: str
    parameters: Mapping[str, str]
    phase: str
    message: str


async def set_node(session: Session, name: str, wanted: Setting, say: Callable[[str], None]) -> int:
    """Set outputs, phase and message of suspended nodes."""
    if wanted.phase not in _SETTABLE:
        raise UserError(f"{wanted.phase!r} is no phase", cure=f"give one of {', '.join(_SETTABLE[1:])}")
    if not (wanted.parameters or wanted.phase or wanted.message):
        raise UserError("nothing is to be set", cure="give -p NAME=VALUE, --message or --phase")
    real = (await session.get(name))["metadata"]["name"]
    await session.set_nodes(real, wanted.selector, wanted.parameters, wanted.phase, wanted.message)
    say("workflow values set")
    return 0


async def wait(session: Session, several: list[str], say: Callable[[str], None]) -> int:
    """Until all have ended; 1 when one did not succeed."""
    code = 0
    for name in several:
        status = (await session.finished(name))["status"]
        say(f"{name} {status['phase']} at {status.get('finishedAt', '')}")
        code = max(code, 0 if status["phase"] == "Succeeded" else 1)
    return code


def parameters(given: list[str], file: Path | None) -> list[tuple[str, Any]]:
    """Options for `-p NAME=VALUE` and `-f FILE`."""
    found: list[tuple[str, Any]] = []
    if file is not None:
        loaded = yamls.load_one(file.read_text(encoding="utf-8")) or {}
        found += [("parameter", (str(name), str(value))) for name, value in dict(loaded).items()]
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"expected parameter of the form: NAME=VALUE. Received: {text}", cure="write -p name=value")
        found.append(("parameter", (name, value)))
    return found
