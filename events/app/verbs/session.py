"""One run of a verb: a server, a namespace, a screen; and what is said when the server refuses or is away."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from events.app import kubeconfig
from events.app.verbs.screen import Screen
from events.errors import ActionError, UserError
from events.kube.api import KubeError
from events.kube.client import DEADLINE, KubeClient, connect
from events.kube.discovery import Catalogue, catalogue

FAILED = 1
INTERRUPTED = 130
BROKEN_PIPE = 141
_CURES = {
    401: "the server does not know these credentials; look at the user of the kubeconfig",
    403: "a Role with this verb must be bound to that user",
    413: "an object may have about 1.5 MB, a request 3 MB",
}


@dataclass(frozen=True)
class Common:
    """What every verb may be told."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = ""
    deadline: float = DEADLINE


@dataclass
class Session:
    """What a verb works with."""

    namespace: str
    given: str = ""
    """The namespace that was typed."""
    screen: Screen = field(default_factory=Screen)
    warnings: list[str] = field(default_factory=list)
    """What the server warned of, the last last."""
    api: KubeClient = field(init=False)
    _catalogue: Catalogue | None = None

    async def catalogue(self) -> Catalogue:
        """What the server serves, asked for once."""
        if self._catalogue is None:
            self._catalogue = await catalogue(self.api)
        return self._catalogue

    def warn(self, text: str) -> None:
        """The server's warning, once."""
        if text not in self.warnings:
            self.screen.note(f"Warning: {text}")
        self.warnings.append(text)

    def refused(self, error: ActionError) -> int:
        """Say what the server refused, or that it is away; the exit code."""
        self.screen.note(f"keryx: {told(error)}")
        return FAILED


def told(error: ActionError) -> str:
    """A failure with its cure."""
    if not isinstance(error, KubeError):
        is_away = "no answer" in str(error)
        cure = "is it running? `keryx up` starts one on this machine, --kubeconfig names another" if is_away else ""
        return str(UserError(str(error), cure=cure))
    reason = f" ({error.reason})" if error.reason else ""
    return str(UserError(f"{error.message}{reason}", cure=_CURES.get(error.status, "")))


def run(common: Common, work: Callable[[Session], Awaitable[int]]) -> int:
    """A verb with a session; its exit code. UserError for what only the one who typed it can cure."""

    async def whole() -> int:
        where = kubeconfig.find(common.kubeconfig)
        home = common.namespace or kubeconfig.namespace(where, common.context)
        session = Session(home, common.namespace)
        try:
            api = await connect(where, context=common.context, deadline=common.deadline, warn=session.warn)
        except ActionError as error:
            return session.refused(error)
        session.api = api
        try:
            return await work(session)
        except ActionError as error:
            return session.refused(error)
        finally:
            await api.aclose()

    try:
        code = asyncio.run(whole())
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; what is still buffered must not raise once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        sys.stderr.write(f"keryx: cannot write: {error.strerror or error}\n")  # a full disk, most likely
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code
