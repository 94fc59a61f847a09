"""Admission inside `keryx up`: the service of clusters, on a port of the loopback, called by the API server beside it.

It cannot lock anybody out: failures are ignored (`failurePolicy: Ignore`), deletions are not asked about, and the
configuration is renewed before the API server answers its first request, so that what a killed one left behind, a port
that is another program's by now, is never called.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from events.app.admission import certificates, keeping
from events.app.admission.certificates import Chain
from events.app.admission.review import Answer, Request, Reviewer
from events.app.admission.server import Reviews
from events.app.admission.service import Tls
from events.errors import ActionError
from events.kube import patches
from events.kube.api import KubeApi, KubeError, Object
from events.logs import Log
from events.metrics import Metrics
from events.process import Readiness
from events.resources import API_VERSION

NAME = "keryx-up.argo-events.argoproj.io"
"""Not that of an installed webhook: both may be there, and neither writes the other's."""
MANAGER = "keryx-up"
_HOST = "127.0.0.1"
_KIND = "ValidatingWebhookConfiguration"
_RENEW_SECONDS = 24 * 3600.0
_TRIES, _PAUSE = 50, 0.1


class Admission:
    """`listen`, give the API server `configuration` to start with, then `run`; `answers` says that it is asked."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics, self._log = metrics, log
        self._chain = certificates.ensured(Chain(), (_HOST,), datetime.now(UTC))
        self._tls = Tls()
        self._asked = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def listen(self, api: KubeApi) -> None:
        """Answer reviews from now on, on a free port; `api` is used when the first one comes."""
        self._tls.serve(self._chain)
        application = Reviews(_Telling(api, self._asked), self._metrics, Readiness(), self._log).application()
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        listening = socket.create_server((_HOST, 0))
        self._port = listening.getsockname()[1]
        await web.SockSite(self._runner, listening, ssl_context=self._tls.context).start()

    async def close(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def configuration(self) -> Object:
        """What has the API server ask: everything that is created or changed, nothing that is deleted."""
        kind = API_VERSION.partition("/")
        rule = {
            "operations": ["CREATE", "UPDATE"],
            "apiGroups": [kind[0]],
            "apiVersions": [kind[2]],
            "resources": list(keeping.PLURALS),
            "scope": "*",
        }
        bundle = base64.b64encode(self._chain.authorities.encode()).decode()
        hook = {
            "name": NAME,
            "clientConfig": {"url": f"https://{_HOST}:{self._port}/", "caBundle": bundle},
            "rules": [rule],
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "timeoutSeconds": keeping.TIMEOUT_SECONDS,
            "admissionReviewVersions": ["v1"],
        }
        metadata = {"name": NAME, "labels": {"app.kubernetes.io/managed-by": MANAGER}}
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": _KIND,
            "metadata": metadata,
            "webhooks": [hook],
        }

    async def answers(self, api: KubeApi) -> bool:
        """Whether the API server asks it: seen by an object that is tried and not kept."""
        trial: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": "EventBus",
            "metadata": {"name": "keryx-up", "namespace": "default"},
            "spec": {"jetstream": {"version": "latest"}},
        }
        for _ in range(_TRIES):
            with contextlib.suppress(ActionError):  # the definition may not be served yet
                resource = await api.resource(API_VERSION, "EventBus")
                params = {"fieldManager": MANAGER, "force": "true", "dryRun": "All"}
                await api.patch(
                    resource,
                    trial["metadata"]["name"],
                    trial,
                    content_type=patches.APPLY,
                    namespace="default",
                    params=params,
                )
            if self._asked.is_set():
                return True
            await asyncio.sleep(_PAUSE)
        self._log.warning("Objects are not checked when they are applied: the API server does not ask")
        return False

    async def run(self, api: KubeApi) -> None:
        """Renew the certificate long before its end, until cancelled."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            chain = certificates.ensured(self._chain, (_HOST,), datetime.now(UTC))
            if chain == self._chain:
                continue
            self._chain = chain
            with contextlib.suppress(ActionError):
                await self._configure(api)
            self._tls.serve(chain)

    async def _configure(self, api: KubeApi) -> None:
        """The authorities of now; one that somebody took away stays away."""
        resource = await api.resource("admissionregistration.k8s.io/v1", _KIND)
        try:
            await api.get(resource, NAME)
        except KubeError as error:
            if error.status == 404:
                return
            raise
        params = {"fieldManager": MANAGER, "force": "true"}
        await api.patch(resource, NAME, self.configuration, content_type=patches.APPLY, params=params)


class _Telling(Reviewer):
    """Says when it was asked."""

    def __init__(self, api: KubeApi, asked: asyncio.Event) -> None:
        super().__init__(api)
        self._was_asked = asked

    async def review(self, request: Request) -> Answer:
        self._was_asked.set()
        return await super().review(request)
