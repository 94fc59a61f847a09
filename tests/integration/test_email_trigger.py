"""The email trigger against aiosmtpd, a real SMTP server, on loopback. Contract: sensors D.14; X7, X8."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from support.ports import free_port
from support.triggers import context, fire, firing, secret

from events.errors import ActionError, CredentialError, ParameterError
from sensors.base import TriggerContext
from sensors.triggers import email as email_trigger
from sensors.triggers.email import EmailSpec, EmailTrigger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")


class Mailbox:
    """What the server does with mail. Runs in the server's thread."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], EmailMessage]] = []
        self.refused: dict[str, str] = {}
        self.logins: list[tuple[str, str]] = []
        self.was_tls: list[bool] = []
        self.hangs = threading.Event()

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        while self.hangs.is_set():
            await asyncio.sleep(0.05)
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope.mail_from or "", envelope.rcpt_tos, message))
        self.was_tls.append(session.ssl is not None)
        return "250 OK"

    def login(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        pair = given.login.decode(), given.password.decode()
        self.logins.append(pair)
        return AuthResult(success=pair == ("ada", "pa:ss"), handled=False)

    @property
    def recipients(self) -> list[str]:
        return [one for _, to, _ in self.mails for one in to]


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def server(mailbox: Mailbox) -> Iterator[Controller]:
    controller = Controller(
        mailbox, "127.0.0.1", free_port(), authenticator=mailbox.login, auth_require_tls=False, server_hostname="mx"
    )
    controller.start()
    yield controller
    mailbox.hangs.clear()
    controller.stop()


def port(server: Controller) -> int:
    assert server.server is not None
    return int(server.server.sockets[0].getsockname()[1])


@pytest.fixture
def around(tmp_path: Path) -> TriggerContext:
    return context(tmp_path)


def trigger(around: TriggerContext, number: int, **spec: Any) -> EmailTrigger:
    given = {
        "host": "127.0.0.1",
        "port": number,
        "from": "keryx@example.com",
        "to": ["ada@example.com", "grace+x@example.engineering"],
        "subject": "Größe",
        "body": "line\n.dot\n€",
    } | spec
    return EmailTrigger(EmailSpec.parse({name: one for name, one in given.items() if one is not None}), around)


async def test_each_recipient_gets_a_mail(server: Controller, mailbox: Mailbox, around: TriggerContext) -> None:
    await fire(trigger(around, port(server)))
    assert [(sender, to) for sender, to, _ in mailbox.mails] == [
        ("keryx@example.com", ["ada@example.com"]),
        ("keryx@example.com", ["grace+x@example.engineering"]),  # X8
    ]
    message = mailbox.mails[0][2]
    assert (message["From"], message["To"], message["Subject"]) == ("keryx@example.com", "ada@example.com", "Größe")
    assert message.get_content_type() == "text/plain"
    assert message.get_content().splitlines() == ["line", ".dot", "€"]
    assert not mailbox.logins


async def test_parameters_have_an_effect(server: Controller, mailbox: Mailbox, around: TriggerContext) -> None:  # X7
    await fire(trigger(around, port(server)), subject="from the event", to=["linus@example.com"])
    assert mailbox.recipients == ["linus@example.com"]
    assert mailbox.mails[0][2]["Subject"] == "from the event"


async def test_a_repeat_has_the_same_message_id(server: Controller, mailbox: Mailbox, around: TriggerContext) -> None:
    one = trigger(around, port(server), to=["ada@example.com"])
    for identity in ("f1", "f1", "f2"):
        await fire(one, firing(identity=identity))
    first, again, other = [message["Message-ID"] for _, _, message in mailbox.mails]
    assert first == again != other


async def test_those_who_got_their_mail_do_not_get_it_again(  # X8
    server: Controller, mailbox: Mailbox, around: TriggerContext
) -> None:
    one = trigger(around, port(server), to=["ada@example.com", "full@example.com", "grace@example.com"])
    mailbox.refused["full@example.com"] = "452 mailbox full"
    with pytest.raises(ActionError, match=r"^full@example\.com: .*mailbox full"):
        await fire(one)
    assert mailbox.recipients == ["ada@example.com", "grace@example.com"]
    mailbox.refused.clear()
    await fire(one)
    assert mailbox.recipients == ["ada@example.com", "grace@example.com", "full@example.com"]
    await fire(one, firing(identity="f2"))
    assert len(mailbox.mails) == 6
    assert not around.memory["mails act"]


async def test_what_is_remembered_has_a_limit(
    server: Controller, mailbox: Mailbox, around: TriggerContext, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr(email_trigger, "_REMEMBERED", 3)
    one = trigger(around, port(server), to=["ada@example.com", "full@example.com"])
    away = trigger(around, unused_tcp_port)
    mailbox.refused["full@example.com"] = "452 mailbox full"
    for number in range(5):
        for each in (one, away):
            with pytest.raises(ActionError):
                await fire(each, firing(identity=f"{each is one} {number}"))
    assert list(around.memory["mails act"]) == ["True 2", "True 3", "True 4"]


async def test_a_dead_letter_trigger_has_recipients_of_its_own(
    server: Controller, mailbox: Mailbox, around: TriggerContext
) -> None:
    mailbox.refused["full@example.com"] = "452 mailbox full"
    with pytest.raises(ActionError):
        await fire(trigger(around, port(server), to=["ada@example.com", "full@example.com"]))
    await fire(trigger(replace(around, trigger_name="letters"), port(server), to=["ada@example.com"]))
    assert mailbox.recipients == ["ada@example.com"] * 2


async def test_a_bad_address_is_said_and_the_others_get_their_mail(
    server: Controller, mailbox: Mailbox, around: TriggerContext
) -> None:
    bad = ["nobody", "a b@example.com", "x@example.com>\r\nRCPT TO:<y@example.com"]
    with pytest.raises(ParameterError, match="'nobody' is not an address"):
        await fire(trigger(around, port(server), to=["ada@example.com", *bad]))
    assert mailbox.recipients == ["ada@example.com"]


@pytest.mark.parametrize(
    "spec",
    [
        {"from": None},
        {"from": "x"},
        {"to": []},
        {"subject": ""},
        {"body": None},
        {"subject": "a\nBcc: evil@example.com"},
        {"subject": "a\rb"},
    ],
)
async def test_a_mail_that_cannot_be_is_not_tried_again(
    server: Controller, mailbox: Mailbox, around: TriggerContext, spec: dict[str, Any]
) -> None:
    with pytest.raises(ParameterError):
        await fire(trigger(around, port(server), **spec))
    assert not mailbox.mails


async def test_a_user_logs_in(server: Controller, mailbox: Mailbox, around: TriggerContext) -> None:
    login = {"username": "ada", "smtpPassword": secret("password")}
    await fire(trigger(around, port(server), **login))
    assert mailbox.logins == [("ada", "pa:ss")]
    with pytest.raises(ActionError, match=r"127\.0\.0\.1: .*535"):
        await fire(trigger(around, port(server), username="eve", smtpPassword=secret("password")), firing(identity="x"))
    with pytest.raises(CredentialError, match="no key 'nope'"):
        await fire(trigger(around, port(server), username="eve", smtpPassword=secret("nope")), firing(identity="y"))


async def test_a_password_is_not_sent_in_the_clear_to_another_machine(
    server: Controller, mailbox: Mailbox, around: TriggerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_trigger, "_is_here", lambda _host: False)
    with pytest.raises(ActionError, match="offers no TLS"):
        await fire(trigger(around, port(server), username="ada", smtpPassword=secret("password")))
    assert not mailbox.logins
    await fire(trigger(around, port(server)))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", pem]
    subprocess.run([*new, *subject], check=True, capture_output=True)
    return pem, key


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_tls_is_used_where_it_is_offered_and_verified(
    mailbox: Mailbox,
    around: TriggerContext,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    is_trusted: bool,
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    controller = Controller(
        mailbox, "127.0.0.1", free_port(), tls_context=tls, authenticator=mailbox.login, require_starttls=True
    )
    controller.start()
    try:
        login = {"username": "ada", "smtpPassword": secret("password")}
        one = trigger(around, port(controller), host="localhost", **login)
        if is_trusted:
            await fire(one)
            assert mailbox.was_tls == [True, True]
            assert mailbox.logins == [("ada", "pa:ss")]
        else:
            with pytest.raises(ActionError, match=r"(?i)certificate"):
                await fire(one)
            assert not mailbox.mails
            assert not mailbox.logins
    finally:
        controller.stop()


async def test_a_server_that_is_away_is_a_failed_attempt(around: TriggerContext, unused_tcp_port: int) -> None:
    with pytest.raises(ActionError, match=r"127\.0\.0\.1: "):
        await fire(trigger(around, unused_tcp_port))


async def test_a_server_that_hangs_holds_up_nobody(  # R8
    server: Controller, mailbox: Mailbox, around: TriggerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_trigger, "SECONDS", 0.2)
    mailbox.hangs.set()
    started = asyncio.get_running_loop().time()
    with pytest.raises(ActionError, match=r"ada@example\.com: .*grace\+x@example\.engineering: not sent"):
        await fire(trigger(around, port(server)))
    assert asyncio.get_running_loop().time() - started < 20
