"""Mail by SMTP. Contract: sensors D.14.

A recipient who has got the mail of a firing does not get it again when the others are tried again (flaw X8), as long as
this process lives; afterwards the Message-ID, which is made from the firing, tells a repeat.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
from collections import OrderedDict
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import TYPE_CHECKING

import orjson
from pydantic import Field

from events.credentials import SecretRef
from events.errors import ActionError, ParameterError
from events.extras import extra
from events.problems import Problems
from sensors import base, decoding, payloads
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

if TYPE_CHECKING:
    from aiosmtplib import SMTP

SECONDS = 30.0
"""Until the server has answered a command; a mail is a handful of them."""
_MAX_PORT = 65535
_PORT = 25
_TLS_PORT = 465
_REMEMBERED = 1024
"""Firings with recipients that have got their mail, and others that have not."""
# Without quotes, comments and line breaks: what stands in an SMTP command.
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*")


class EmailSpec(base.Spec):
    """Sends plain-text mails. Contract: sensors D.14."""

    host: str = Field("", description="Host of the SMTP server.")
    port: int | None = Field(
        None, description="Port of the SMTP server, 25 when absent; with 465 the connection starts with TLS."
    )
    username: str | None = Field(None, description="User name.")
    smtp_password: SecretRef | None = Field(None, description="Secret with the password.")
    from_: str | None = Field(None, alias="from", description="Sender.")
    to: list[str] | None = Field(None, description="Recipients; each gets a mail of its own.")
    subject: str | None = Field(None, description="Subject.")
    body: str | None = Field(None, description="Text.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


class EmailTrigger(base.Trigger[EmailSpec]):
    """One plain-text mail per recipient."""

    Spec = EmailSpec

    def __init__(self, spec: EmailSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._text = orjson.dumps(spec.wire()).decode()
        self._done: OrderedDict[str, set[str]] = context.memory.setdefault(
            f"mails {context.trigger_name}", OrderedDict()
        )

    @classmethod
    def validate(cls, spec: EmailSpec, problems: Problems) -> None:
        payloads.required(spec, problems, "host")
        if spec.port is not None and not 0 <= spec.port <= _MAX_PORT:
            problems.error("port", f"{spec.port} is not a port", f"0 to {_MAX_PORT}")
        payloads.expected(spec, problems, "from", "to", "subject", "body")
        for index, address in enumerate(spec.to or ()):
            if not _ADDRESS.fullmatch(address):
                problems.warn(f"to[{index}]", f"{address!r} is not an address: every attempt fails")

    async def fetch(self) -> str:
        return self._text

    async def execute(self, resource: str, firing: Firing) -> Result:
        spec = self.spec if resource == self._text else decoding.read(EmailSpec, resource)
        _check(spec)
        bad = [address for address in spec.to or () if not _ADDRESS.fullmatch(address)]
        done = self._done.pop(firing.id, set())
        left = [address for address in dict.fromkeys(spec.to or ()) if address not in done and address not in bad]
        is_over = False
        try:
            failures = await self._send(spec, left, firing, done) if left else []
            is_over = not failures and not bad
        finally:
            if done and not is_over:
                self._remember(firing.id, done)
        if not is_over:
            wrong = [f"{address!r} is not an address" for address in bad]
            # A bad address alone does not get better.
            raise (ActionError if failures else ParameterError)("; ".join([*failures, *wrong]))
        return Result()

    def _remember(self, firing: str, done: set[str]) -> None:
        self._done[firing] = done
        while len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)

    async def _send(self, spec: EmailSpec, addresses: list[str], firing: Firing, done: set[str]) -> list[str]:
        """Send to all; why some have not got it."""
        with extra("email"):
            from aiosmtplib import SMTPException
        failures = []
        try:
            server = await self._connected(spec)
        except (SMTPException, OSError, ValueError) as error:
            raise ActionError(f"{spec.host}: {error}") from error
        try:
            for address in addresses:
                if not server.is_connected:
                    failures.append(f"{address}: not sent, the connection is lost")
                    continue
                try:
                    async with asyncio.timeout(4 * SECONDS):
                        await server.send_message(_message(spec, address, firing), recipients=[address])
                except (SMTPException, OSError) as error:
                    failures.append(f"{address}: {str(error) or type(error).__name__}")
                else:
                    done.add(address)
        finally:
            server.close()
        return failures

    async def _connected(self, spec: EmailSpec) -> SMTP:
        """A server that knows who we are."""
        from aiosmtplib import SMTP

        port = spec.port or _PORT
        server = SMTP(hostname=spec.host, port=port, use_tls=port == _TLS_PORT, timeout=SECONDS)
        try:
            async with asyncio.timeout(2 * SECONDS):
                await server.connect()  # with STARTTLS, where it is offered
                password = self.context.secrets.value(spec.smtp_password) if spec.smtp_password else ""
                if spec.username or password:
                    if server.get_transport_info("sslcontext") is None and not _is_here(spec.host):
                        raise ActionError(f"{spec.host} offers no TLS, and a password is not sent in the clear")
                    await server.login(spec.username or "", password)
        except BaseException:
            server.close()
            raise
        return server


def _check(spec: EmailSpec) -> None:
    """ParameterError for a mail that cannot be, which trying again would not change."""
    for field, value in (("from", spec.from_), ("to", spec.to), ("subject", spec.subject), ("body", spec.body)):
        if not value:
            raise ParameterError(f"{field} is empty")
    if not _ADDRESS.fullmatch(spec.from_ or ""):
        raise ParameterError(f"from: {spec.from_!r} is not an address")
    if any(char in (spec.subject or "") for char in "\r\n\0"):
        raise ParameterError("subject has a line break")


def _message(spec: EmailSpec, address: str, firing: Firing) -> EmailMessage:
    sender = spec.from_ or ""
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = sender, address, spec.subject
    message["Date"] = format_datetime(localtime())
    unique = hashlib.sha256(f"{firing.id}\0{address}".encode()).hexdigest()[:32]
    message["Message-ID"] = f"<{unique}@{sender.rpartition('@')[2]}>"
    message.set_content(spec.body or "")
    return message


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
