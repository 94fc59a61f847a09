"""The API server's controllers on objects kept in memory."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support import api_objects
from support.api_kept_objects import Kept, run

from events.local.apiserver import controllers
from events.local.apiserver.access.tokens import Tokens
from events.local.apiserver.controllers.base import Object
from events.local.apiserver.objects.hooks import Hooks
from events.logs import Log

AUTHORITY = "-----BEGIN CERTIFICATE-----"
DEFINITIONS = ("customresourcedefinitions", "apiextensions.k8s.io")
RBAC = "rbac.authorization.k8s.io"
SECONDS = 0.5
"""More than what gathers, less than what is looked at now and then."""

Test = Callable[[Kept, Path], Coroutine[Any, Any, None]]


def hurried(test: Test) -> Callable[[Path], None]:
    @functools.wraps(test)
    def wrapped(tmp_path: Path) -> None:
        run(test(Kept(), tmp_path))

    del wrapped.__wrapped__  # type: ignore[attr-defined]  # pytest must see the path alone
    return wrapped


@asynccontextmanager
async def running(kept: Kept, path: Path) -> AsyncIterator[Hooks]:
    hooks = Hooks()
    tokens = Tokens(path, api_objects.Objects())
    started = await controllers.start(kept, AUTHORITY, tokens, Log("test"), hooks)
    await asyncio.sleep(SECONDS)
    try:
        yield hooks
    finally:
        await started.close()


def home(kept: Kept, name: str = "default") -> Object:
    found = kept.get(kept.of("namespaces"), "", name)
    assert found is not None
    return found


def conditions(it: Object | None) -> dict[str, tuple[str, str, str]]:
    assert it is not None
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in it["status"]["conditions"]}


def metadata(kept: Kept, it: Object) -> Object:
    found = kept.now(it)
    assert found is not None
    return dict(found["metadata"])
