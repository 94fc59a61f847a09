"""http.*: recorded exchanges with a real API server, over a socket with ours; eight cases at a time."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from conformance.core import Case, Outcome, Verdict
from conformance.kubernetes.comparing import Comparison
from conformance.kubernetes.hooks import Webhooks
from conformance.kubernetes.steps import Clients, Exchange
from support.api_server import running

_AT_A_TIME = 8
_SECONDS = 90.0


def run(case: Case) -> Outcome:
    """One case alone."""
    return run_all([case])[0]


def run_all(cases: Sequence[Case]) -> list[Outcome]:
    """All of them, on one server."""
    return asyncio.run(_run_all(cases))


async def _run_all(cases: Sequence[Case]) -> list[Outcome]:
    turns = asyncio.Semaphore(_AT_A_TIME)
    with tempfile.TemporaryDirectory() as folder:
        hooks = Webhooks(Path(folder, "hooks"))
        async with (
            running(Path(folder, "server")) as server,
            server.client() as admin,
            server.client(is_admin=False) as other,
        ):
            await hooks.start()
            await _without_roles(admin)
            clients = Clients(server.url, admin, other, hooks)

            async def one(case: Case) -> Outcome:
                async with turns, asyncio.timeout(_SECONDS):
                    return _judged(case, await Exchange(case, clients).run())

            together = [case for case in cases if not _reads_everything(case)]
            several = await asyncio.gather(*(one(case) for case in together), return_exceptions=True)
            found = dict(zip((case.id for case in together), several, strict=True))
            for case in cases:
                if case.id not in found:
                    (found[case.id],) = await asyncio.gather(one(case), return_exceptions=True)
            await hooks.stop()
    results = (found[case.id] for case in cases)
    return [one if isinstance(one, Outcome) else Outcome(Verdict.FAILED, "an answer", repr(one)) for one in results]


async def _without_roles(admin: aiohttp.ClientSession) -> None:
    """As the recorder was: without the roles that every cluster starts with."""
    for kind in ("clusterrolebindings", "clusterroles"):
        query = {"labelSelector": "kubernetes.io/bootstrapping=rbac-defaults"}
        async with admin.delete(f"/apis/rbac.authorization.k8s.io/v1/{kind}", params=query) as answer:
            assert answer.status == 200, await answer.text()


def _reads_everything(case: Case) -> bool:
    """Whether what other cases do would show in a list of all namespaces."""
    return any(step.get("path") == "/api/v1/secrets" and "save" in step for step in case.input["steps"])


def _judged(case: Case, answers: list[dict[str, Any]]) -> Outcome:
    comparison = Comparison()
    for index, (wanted, answer) in enumerate(zip(case.expect["steps"], answers, strict=True)):
        if wanted.get("closed"):  # a crash of the recorder
            comparison.compare(415, answer.get("status"), f"{index}/status")
        elif wanted.get("status") != 500 or answer.get("status") not in (400, 415, 422):
            comparison.compare(_comparable(wanted), _comparable(answer, wanted), f"{index}")
    differences = comparison.end()
    return Outcome(Verdict.FAILED, "as recorded", "; ".join(differences)) if differences else Outcome(Verdict.SAME)


def _comparable(answer: dict[str, Any], wanted: dict[str, Any] | None = None) -> dict[str, Any]:
    """Content types without parameters; headers only where they were recorded."""
    found = dict(answer)
    kind = str(found.pop("contentType", "")).partition(";")[0]
    if wanted is None or wanted.get("contentType"):
        found |= {"contentType": kind} if kind else {}
    if wanted is not None and "headers" not in wanted:
        found.pop("headers", None)
    return found
