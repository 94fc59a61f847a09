"""http.*: recorded exchanges with a real API server, over a socket with ours; eight cases at a time."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
from conformance.core import Case, Outcome
from conformance.kubernetes.comparing import Comparison, judged
from conformance.kubernetes.hooks import Webhooks
from conformance.kubernetes.steps import Clients, Exchange
from support.api_server import running

DEPARTURES: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        "http.crd/cr-basic-errors": frozenset({0, 11}),
        "http.crd/create-again-conflict": frozenset({2}),
        "http.crd/versions-none-conversion": frozenset({6, 7, 10}),
        "http.crud/method-not-allowed": frozenset({9}),
        "http.crud/trailing-slash-and-case": frozenset({0}),
        "http.patch/json-rename-rejected": frozenset({3, 4}),
        "http.rbac/sar": frozenset({7, 8}),
        "http.rbac/ssrr": frozenset({4}),
    }
)
"""The steps that docs/differences.md speaks of; all others of these cases are as recorded."""

_AT_A_TIME = 8
_SECONDS = 90.0
_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


def run(case: Case) -> Outcome:
    """One case alone."""
    return run_all([case])[0]


def run_all(cases: Sequence[Case]) -> list[Outcome]:
    """All of them, on one server."""
    return asyncio.run(_run_all(cases))


async def _run_all(cases: Sequence[Case]) -> list[Outcome]:
    turns = asyncio.Semaphore(_AT_A_TIME)
    found: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as folder:
        hooks = Webhooks(Path(folder, "hooks"))
        async with (
            running(Path(folder, "server")) as server,
            server.client() as admin,
            server.client(is_admin=False) as other,
        ):
            await hooks.start()
            await _without_roles_for_people(admin)
            clients = Clients(server.url, admin, other, hooks)

            async def one(case: Case) -> None:
                async with turns:
                    found[case.id] = await _outcome(case, clients)

            await asyncio.gather(*(one(case) for case in cases if not _needs_calm(case)))
            for case in filter(_needs_calm, cases):
                await one(case)
            await hooks.stop()
    return [found[case.id] for case in cases]


async def _without_roles_for_people(admin: aiohttp.ClientSession) -> None:
    """As at the recorder, which had no `cluster-admin`, `admin`, `edit` and `view`."""
    for name in ("cluster-admin", "admin", "edit", "view"):
        async with admin.delete(f"{_ROLES}/{name}") as answer:
            assert answer.status == 200, await answer.text()


def _needs_calm(case: Case) -> bool:
    """Whether what other cases do would show: in lists of all namespaces, and in when roles are gathered."""
    return any(
        (step.get("path") == "/api/v1/secrets" and "save" in step) or "aggregationRule" in json.dumps(step.get("body"))
        for step in case.input["steps"]
    )


async def _outcome(case: Case, clients: Clients) -> Outcome:
    """Any defect is the failure of its case, not of the run."""
    try:
        async with asyncio.timeout(_SECONDS):
            answers = await Exchange(case, clients).run()
        return judged(_compared(case, answers), DEPARTURES.get(case.id))
    except Exception as error:  # noqa: BLE001  # reported as the failure of this case
        return judged([(None, f"{type(error).__name__}: {error}")])


def _compared(case: Case, answers: Sequence[dict[str, Any]]) -> list[tuple[int | None, str]]:
    """Differences by step."""
    comparison = Comparison()
    for index, (wanted, answer) in enumerate(zip(case.expect["steps"], answers, strict=True)):
        comparison.step = index
        if wanted.get("closed"):  # a crash of the recorder
            comparison.compare(415, answer.get("status"), "/status")
        elif wanted.get("status") != 500 or answer.get("status") not in (400, 415, 422):
            comparison.compare(_comparable(wanted), _comparable(answer, wanted))
    return comparison.end()


def _comparable(answer: dict[str, Any], wanted: dict[str, Any] | None = None) -> dict[str, Any]:
    """Content types without parameters; headers only where they were recorded."""
    found = dict(answer)
    kind = str(found.pop("contentType", "")).partition(";")[0]
    if wanted is None or wanted.get("contentType"):
        found |= {"contentType": kind} if kind else {}
    if wanted is not None and "headers" not in wanted:
        found.pop("headers", None)
    return found
