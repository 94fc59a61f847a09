"""`keryx webhook-service`: certificates kept, reviews answered, drained at the end. Contract: F.1, G.4."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from events.app.admission.certificates import Chain
from events.app.admission.keeping import Keeper, Names
from events.app.admission.review import Reviewer
from events.app.admission.server import Reviews
from events.backoff import Endless
from events.errors import ActionError, UserError
from events.kube.api import KubeApi
from events.logs import Log
from events.metrics import Metrics
from events.process import Process
from events.settings import Settings

KEEP_SECONDS = 60.0
"""Between two looks at Secret and configuration; far less than the overlap of certificates."""
_LINGER = 5.0
"""Served on after SIGTERM: the API server hears late that this replica is not ready any more."""
_PART, _PORT = "admission", "port"


@dataclass(frozen=True, slots=True)
class Options:
    """What the environment says."""

    names: Names
    address: str = ""
    keep_seconds: float = KEEP_SECONDS


def options(settings: Settings, environ: Mapping[str, str] = os.environ) -> Options:
    """From the environment; UserError naming the variable."""
    if not settings.namespace:
        raise UserError("required", path="NAMESPACE", cure="the namespace that the webhook runs in")
    text = environ.get("PORT") or "443"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UserError(f"{text!r} is not a port", path="PORT")
    given = {
        "service": environ.get("SERVICE_NAME"),
        "deployment": environ.get("DEPLOYMENT_NAME"),
        "cluster_role": environ.get("CLUSTER_ROLE_NAME"),
    }
    names = Names(settings.namespace, port=int(text), **{name: value for name, value in given.items() if value})
    return Options(names, environ.get("KERYX_ADDRESS") or settings.address)


class Tls:
    """One context for the life of the server; what it serves may be replaced at any time."""

    def __init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._served = ("", "")
        self._trusted = ""

    def serve(self, chain: Chain) -> bool:
        """Use the chain's certificate for new connections; whether it is another one."""
        if self._served == (chain.key, chain.cert):
            return False
        with tempfile.TemporaryDirectory() as folder:
            key, cert = Path(folder, "key"), Path(folder, "cert")
            key.touch(mode=0o600)
            key.write_text(chain.key)
            cert.write_text(chain.cert)
            self.context.load_cert_chain(cert, key)
        self._served = (chain.key, chain.cert)
        return True

    def trust(self, authority: str) -> None:
        """Verify certificates of clients who present one. UserError when the authority cannot be read."""
        if not authority or authority == self._trusted:
            return
        try:
            self.context.load_verify_locations(cadata=authority)
        except ssl.SSLError as error:
            raise UserError(f"the authority of the API server's requests cannot be read: {error}") from error
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self._trusted = authority


class Webhook:
    """The service, from its first certificate to its last answer."""

    def __init__(self, api: KubeApi, options: Options, process: Process, log: Log) -> None:
        self._options, self._process, self._log = options, process, log
        self._keeper, self._tls = Keeper(api, options.names), Tls()
        self._reviews = Reviews(Reviewer(api), process.metrics, process.readiness, log)
        self._is_failing = False

    async def run(self) -> None:
        """Serve until the process is to stop."""
        self._process.readiness.waiting(_PART, "certificates and configuration are not there yet")
        self._process.readiness.waiting(_PORT, "not listened on yet")
        self._process.started()
        keeping = asyncio.create_task(self._keep())
        stopping = asyncio.create_task(self._process.stopping.wait())
        runner = web.AppRunner(self._reviews.application(), access_log=None, shutdown_timeout=self._process.grace)
        try:
            await runner.setup()
            await self._listen(runner)
            await asyncio.wait({stopping, keeping}, return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
            self._process.readiness.waiting(_PART, "stopping")
            await asyncio.sleep(min(_LINGER, self._process.grace / 5))
        finally:
            for task in (keeping, stopping):
                task.cancel()
            await asyncio.gather(keeping, stopping, return_exceptions=True)
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        """Accept connections; they fail until there is a certificate, which is before anybody calls."""
        address, port = self._options.address or None, self._options.names.port
        try:
            await web.TCPSite(runner, address, port, ssl_context=self._tls.context).start()
        except OSError as error:
            raise UserError(f"cannot listen on port {port}: {error}", path="PORT", cure="give another port") from error
        self._process.readiness.ready(_PORT)
        self._log.info("Reviews are answered", port=port)

    async def _keep(self) -> None:
        """Keep Secret and configuration as long as the process lives; without the API server, what there is serves."""
        pauses = Endless(0.5, 30)
        while True:
            try:
                await self._look()
            except (ActionError, UserError, ssl.SSLError, OSError) as error:
                if not self._is_failing:
                    self._log.warning("Certificates and configuration cannot be kept", reason=str(error))
                self._is_failing = True
                await asyncio.sleep(pauses.next())
                continue
            self._is_failing = False
            pauses.reset()
            await asyncio.sleep(self._options.keep_seconds)

    async def _look(self) -> None:
        chain = await self._keeper.keep()
        if self._tls.serve(chain):
            self._log.info("A certificate is served that was not before")
        self._tls.trust(await self._keeper.client_authority())
        if not self._process.stopping.is_set():
            self._process.readiness.ready(_PART)


async def run(settings: Settings, version: str) -> int:
    """The exit code."""
    from events.kube.client import KubeClient

    log = Log("webhook")
    chosen = options(settings)
    process = Process(
        Metrics(version), log, grace=settings.grace, metrics_port=settings.metrics_port, address=settings.address
    )
    api = KubeClient(settings.kubeconfig or None)

    async def work(process: Process) -> None:
        try:
            await Webhook(api, chosen, process, log).run()
        finally:
            await api.aclose()

    return await process.run(work)
