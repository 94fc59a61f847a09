"""The certificate of an HTTPS server, taken from secrets and loaded again when its files change. Contract: 2.1, 2.5."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from events.credentials import Credentials, SecretRef
from events.errors import CredentialError
from events.logs import Log

CHECK_EVERY = 1.0
"""Seconds between looks at the files; they happen during handshakes, so an idle server does nothing."""


class Certificate:
    """A server certificate and its key; `context` is what the server is made with, for its whole life."""

    def __init__(
        self,
        secrets: Credentials,
        certificate: SecretRef,
        key: SecretRef,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets, self._refs, self._log, self._clock = secrets, (certificate, key), log, clock
        self._seen = self._state()
        self._newest = self.context = self._load()
        # The only hook that OpenSSL offers before it sends a certificate; called without SNI, too.
        self.context.sni_callback = self._choose
        self._checked, self._problem = clock(), ""

    def _choose(self, connection: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake."""
        now = self._clock()
        if now - self._checked >= CHECK_EVERY:
            self._checked = now
            self._refresh()
        if self._newest is not self.context:
            connection.context = self._newest

    def _refresh(self) -> None:
        """Load what has changed. A pair that does not fit is half of a rotation: the files will change again."""
        try:
            if (state := self._state()) == self._seen:
                return
            self._seen = state
            self._newest = self._load()
        except CredentialError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._log.warning("The new certificate cannot be used; the old one stays.", error=error)
        else:
            self._problem = ""
            self._log.info("Certificate loaded again.", name=self._refs[0].name)

    def _state(self) -> list[tuple[int, int, int]]:
        found = []
        for path in self._paths():
            try:
                stat = path.stat()
            except OSError as error:
                raise CredentialError(f"cannot read {path}: {error}") from error
            found.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
        return found

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        certificate, key = self._paths()
        try:
            context.load_cert_chain(certificate, key)
        except (ssl.SSLError, OSError) as error:
            raise CredentialError(f"certificate {certificate} and key {key} cannot be used: {error}") from error
        return context

    def _paths(self) -> tuple[Path, Path]:
        certificate, key = self._refs
        return self._secrets.path(certificate), self._secrets.path(key)
