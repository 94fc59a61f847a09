"""The sns source against moto's SNS, with messages signed by a certificate of the test. Contract: eventsources 3.7."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from support.aws import REGION, Aws, aws
from support.aws_front import Call, Front, answering, front, refusal
from support.event_sources import until
from support.sources import Listening, listening, write_secret
from support.webhooks import QUICK, Bus

from events.errors import ActionError, Unavailable
from events.problems import Problems
from eventsources import sns_messages
from eventsources.http.server import HttpServers
from eventsources.sources.sns import SnsSource

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
KEYS = {"accessKey": {"name": "aws", "key": "id"}, "secretKey": {"name": "aws", "key": "secret"}}
HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}
SIGNER = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(SIGNER.public_key())
    made = made.serial_number(7).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    return made.sign(SIGNER, hashes.SHA256()).public_bytes(Encoding.PEM)


PEM = certificate()


@pytest.fixture(scope="module")
def moto() -> Iterator[Aws]:
    with aws() as running:
        yield running


class World:
    """A topic, what stands before it, and a source that is subscribed to it."""

    def __init__(self, moto: Aws, before: Front, root: Path, http: HttpServers) -> None:
        self.front, self.root, self.http = before, root, http
        self.sns = moto.client("sns")
        self.topic = str(self.sns.create_topic(Name="alarms")["TopicArn"])
        before.files["/cert.pem"] = PEM
        write_secret(root, "id", "ada")
        write_secret(root, "secret", "pass")

    def spec(self, **more: Any) -> dict[str, Any]:
        webhook = {"endpoint": "/alarms", "port": "0", "method": "POST", "url": "http://hooks.example.com"}
        given = {"region": REGION, "topicArn": self.topic, "endpoint": self.front.url, "webhook": webhook, **KEYS}
        return {"validateSignature": True, **given, **more}

    def listening(self, bus: Bus | None = None, **more: Any) -> AbstractAsyncContextManager[Listening]:
        return listening(SnsSource, self.spec(**more), self.root, http=self.http, bus=bus)

    def message(self, kind: str = sns_messages.NOTIFICATION, version: str = "2", **more: Any) -> dict[str, Any]:
        """A message as SNS sends it, signed."""
        made = {
            "Type": kind,
            "MessageId": "22b80b92",
            "TopicArn": self.topic,
            "Message": 'line one\nline "two"',
            "Timestamp": "2026-11-21T10:00:00.000Z",
            "SignatureVersion": version,
            "SigningCertURL": f"{self.front.url}/cert.pem",
            **more,
        }
        return {key: value for key, value in made.items() if value is not None} | {"Signature": self.signed(made)}

    @staticmethod
    def signed(message: dict[str, Any], key: rsa.RSAPrivateKey = SIGNER) -> str:
        names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        if message["Type"] != sns_messages.NOTIFICATION:
            names = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
        lines = "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None)
        algorithm = HASHES.get(message["SignatureVersion"], hashes.SHA256)()
        return base64.b64encode(key.sign(lines.encode(), padding.PKCS1v15(), algorithm)).decode()

    async def post(self, message: Any, **headers: str) -> tuple[int, str]:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        await until(lambda: self.http.port("0") > 0)
        url = f"http://127.0.0.1:{self.http.port('0')}/alarms"
        sent = {"Content-Type": "text/plain; charset=UTF-8", **headers}
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=sent) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def world(moto: Aws, tmp_path: Path) -> AsyncIterator[World]:
    moto.reset()
    http = HttpServers(QUICK)
    async with front(moto.url) as before:
        yield World(moto, before, tmp_path, http)
    await http.aclose()


def sns_refusal(code: str, message: str) -> web.Response:
    """What SNS says in its XML protocol."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(text=f"<ErrorResponse>{error}</ErrorResponse>", status=400, content_type="text/xml")


async def listens(source: Listening) -> None:
    await until(lambda: bool(source.started) or source.task.done())
    if source.task.done():
        source.task.result()


# ---- notifications


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["Disk full", None])
async def test_a_genuine_message_becomes_an_event(world: World, version: str, subject: str | None) -> None:
    async with world.listening() as source:
        await listens(source)
        message = world.message(version=version, Subject=subject)
        assert await world.post(message, **{"X-Amz-Sns-Message-Type": "Notification"}) == (200, "success")
        (data,) = await source.received(1)
        assert data["body"] == message
        assert data["header"]["X-Amz-Sns-Message-Type"] == ["Notification"]
        assert source.bus.ids == ["22b80b92"]
        await world.post(message)
        assert world.front.fetched == ["/cert.pem"], "the certificate is fetched once"


def forged(world: World, what: str) -> dict[str, Any]:
    message = world.message()
    changes: dict[str, dict[str, Any]] = {
        "another text": {"Message": "ten thousand"},
        "another key": {"Signature": world.signed(message, OTHER)},
        "no signature": {"Signature": ""},
        "no base64": {"Signature": "!"},
        "version 3": {"SignatureVersion": "3"},
        "a certificate elsewhere": {"SigningCertURL": "https://evil.example.com/cert.pem"},
        "a certificate beside AWS": {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com.evil.com/cert.pem"},
        "a certificate without TLS": {"SigningCertURL": "http://sns.eu-central-1.amazonaws.com/cert.pem"},
        "a certificate with a user": {"SigningCertURL": "https://a@sns.eu-central-1.amazonaws.com/cert.pem"},
        "a file": {"SigningCertURL": "file:///etc/passwd"},
        "no certificate there": {"SigningCertURL": f"{world.front.url}/nope.pem"},
        "another topic": {"TopicArn": world.topic.replace("alarms", "others")},
        "a moved line": {"MessageId": "22b80b92\nSubject\nx"},
    }
    return message | changes[what]


@pytest.mark.parametrize(
    "what",
    [
        "another text",
        "another key",
        "no signature",
        "no base64",
        "version 3",
        "a certificate elsewhere",
        "a certificate beside AWS",
        "a certificate without TLS",
        "a certificate with a user",
        "a file",
        "no certificate there",
        "another topic",
        "a moved line",
    ],
)
async def test_what_is_not_proven_is_refused(world: World, what: str) -> None:
    async with world.listening() as source:
        await listens(source)
        status, said = await world.post(forged(world, what))
        assert status == 400, said
        assert not source.bus.stored
        assert set(world.front.fetched) <= {"/cert.pem", "/nope.pem"}


@pytest.mark.parametrize("raw", [b"null", b"[]", b"{", b'{"Type":"Notification","Type":"Other"}', b'"x"', b"\xff"])
async def test_what_is_no_message_is_refused(world: World, raw: bytes) -> None:
    async with world.listening() as source:
        await listens(source)
        assert (await world.post(raw))[0] == 400
        assert not source.bus.stored


async def test_a_certificate_that_is_too_large_or_none_is_refused(world: World) -> None:
    async with world.listening() as source:
        await listens(source)
        for content in (b"x" * 100_000, b"not a certificate"):
            world.front.files["/cert.pem"] = content
            assert (await world.post(world.message()))[0] == 400


@pytest.mark.parametrize("end", ["?n=1", "#n"])
async def test_a_certificate_has_one_url(world: World, end: str) -> None:
    """Else a stranger could have it fetched again and again, and push the others out of the cache."""
    async with world.listening() as source:
        await listens(source)
        assert (await world.post(world.message(SigningCertURL=f"{world.front.url}/cert.pem{end}")))[0] == 400
        assert not world.front.fetched


async def test_a_certificate_is_not_fetched_from_where_a_redirect_leads(world: World) -> None:
    world.front.files["/old.pem"] = web.Response(status=302, headers={"Location": f"{world.front.url}/cert.pem"})
    async with world.listening() as source:
        await listens(source)
        assert (await world.post(world.message(SigningCertURL=f"{world.front.url}/old.pem")))[0] == 400
        assert world.front.fetched == ["/old.pem"]


async def test_what_is_refused_for_good_is_said_once_a_minute(world: World) -> None:
    async with world.listening() as source:
        await listens(source)
        for _ in range(3):
            await world.post(forged(world, "another key"), **{"X-Amz-Sns-Message-Id": "m-1"})
        (line,) = [one for one in source.said if "cannot become an event" in one]
        assert "m-1" in line
        assert "the signature is not" in line
        assert len(source.failed) == 3


async def test_a_certificate_that_cannot_be_had_now_is_asked_for_again(world: World) -> None:
    world.front.files["/cert.pem"] = web.Response(status=503)
    async with world.listening() as source:
        await listens(source)
        assert (await world.post(world.message()))[0] == 503, "SNS sends it again"
        world.front.files["/cert.pem"] = PEM
        assert (await world.post(world.message()))[0] == 200


async def test_while_the_bus_is_away_sns_is_to_try_again(world: World) -> None:
    bus = Bus()
    bus.error = Unavailable("away")
    async with world.listening(bus) as source:
        await listens(source)
        assert (await world.post(world.message()))[0] == 503
        bus.error = None
        assert (await world.post(world.message()))[0] == 200
        assert len(bus.stored) == 1


async def test_other_kinds_of_messages_are_taken_and_ignored(world: World) -> None:
    async with world.listening() as source:
        await listens(source)
        url = f"{world.front.url}/?Action=ConfirmSubscription"
        message = world.message("UnsubscribeConfirmation", SubscribeURL=url, Token="t")
        assert await world.post(message) == (200, "")
        assert not source.bus.stored


async def test_messages_without_an_envelope(world: World) -> None:
    async with world.listening(validateSignature=False, rawMessageDelivery=True) as source:
        await listens(source)
        headers = {
            "X-Amz-Sns-Rawdelivery": "true",
            "X-Amz-Sns-Topic-Arn": world.topic,
            "X-Amz-Sns-Message-Id": "m-1",
        }
        assert (await world.post(b'{"disk":"full"}', **headers))[0] == 200
        assert (await world.post(b"just text", **headers))[0] == 200
        assert (await world.post(b"{}", **{**headers, "X-Amz-Sns-Topic-Arn": "arn:other"}))[0] == 400
        assert [one["body"] for one in await source.received(2)] == [{"disk": "full"}, "just text"]
        assert source.bus.ids == ["m-1", "m-1"]


async def test_without_an_envelope_nothing_is_verified_so_it_is_refused_where_it_must_be(world: World) -> None:
    async with world.listening() as source:
        await listens(source)
        headers = {"X-Amz-Sns-Rawdelivery": "true", "X-Amz-Sns-Topic-Arn": world.topic}
        assert (await world.post(b"{}", **headers))[0] == 400


# ---- the subscription


async def test_it_subscribes_and_confirms_by_a_call_and_visits_no_url(world: World) -> None:
    async with world.listening() as source:
        await until(lambda: bool(world.front.asked("Subscribe")))
        subscribed = world.front.asked("Subscribe")[0].body
        assert "hooks.example.com%2Falarms" in subscribed
        assert "Protocol=http&" in f"{subscribed}&"
        url = f"{world.front.url}/?Action=ConfirmSubscription&Token=t-1"
        message = world.message(sns_messages.SUBSCRIPTION, SubscribeURL=url, Token="t-1")
        world.front.answer = answering("ConfirmSubscription", web.Response(text=CONFIRMED, content_type="text/xml"))
        assert await world.post(message) == (200, "")
        (call,) = world.front.asked("ConfirmSubscription")
        assert "Token=t-1" in call.body
        assert world.front.fetched == ["/cert.pem"]
        assert any("confirmed" in one for one in source.said)


CONFIRMED = """<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
<ConfirmSubscriptionResult><SubscriptionArn>arn:aws:sns:x:1:alarms:2</SubscriptionArn></ConfirmSubscriptionResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></ConfirmSubscriptionResponse>"""


async def test_a_confirmation_of_another_place_or_topic_is_refused(world: World) -> None:
    async with world.listening() as source:
        await listens(source)
        elsewhere = world.message(sns_messages.SUBSCRIPTION, SubscribeURL="https://evil.example.com/", Token="t")
        other = world.message(sns_messages.SUBSCRIPTION, SubscribeURL=world.front.url, Token="t", TopicArn="arn:other")
        for message in (elsewhere, other):
            assert (await world.post(message))[0] == 400
        assert not world.front.asked("ConfirmSubscription")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (sns_refusal("InvalidParameter", "no"), 400),
        (sns_refusal("Throttling", "no"), 503),
        (web.Response(status=500), 503),
    ],
)
async def test_a_confirmation_that_fails(world: World, answer: web.Response, status: int) -> None:
    """A 4xx says that SNS need not send it again."""
    world.front.answer = answering("ConfirmSubscription", answer)
    async with world.listening() as source:
        await listens(source)
        message = world.message(sns_messages.SUBSCRIPTION, SubscribeURL=world.front.url, Token="t")
        assert (await world.post(message))[0] == status
        assert (await world.post(message))[0] == 200


async def test_a_subscription_that_is_removed_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsources.sources.sns._CHECK_SECONDS", 0.3)
    endpoints = partial(world.sns.list_subscriptions_by_topic, TopicArn=world.topic)
    async with world.listening():
        for _ in range(2):
            async with asyncio.timeout(30):
                while not (found := (await asyncio.to_thread(endpoints))["Subscriptions"]):
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(world.sns.unsubscribe, SubscriptionArn=found[0]["SubscriptionArn"])


async def test_a_subscription_with_other_attributes_is_changed(world: World) -> None:
    world.front.answer = answering("Subscribe", sns_refusal("InvalidParameter", "exists with different attributes"))
    async with world.listening(validateSignature=False, rawMessageDelivery=True):
        await until(lambda: bool(world.front.asked("SetSubscriptionAttributes")))
    first, second = (parse_qs(call.body) for call in world.front.asked("Subscribe"))
    assert first["Attributes.entry.1.key"] == ["RawMessageDelivery"]
    assert "Attributes.entry.1.key" not in second
    (found,) = (await asyncio.to_thread(world.sns.list_subscriptions_by_topic, TopicArn=world.topic))["Subscriptions"]
    kept = world.sns.get_subscription_attributes(SubscriptionArn=found["SubscriptionArn"])["Attributes"]
    assert kept["RawMessageDelivery"] == "true"


async def test_it_stays_subscribed_at_the_end_unless_told_otherwise(world: World) -> None:
    for given, unsubscribed in ((None, 0), (True, 1)):
        async with world.listening(deleteSubscriptionOnFinish=given):
            await until(lambda: bool(world.front.asked("Subscribe")))
            await asyncio.sleep(0.2)
        assert len(world.front.asked("Unsubscribe")) == unsubscribed
        world.front.calls.clear()


async def test_a_topic_that_is_not_there_ends_the_start(world: World) -> None:
    async with world.listening(topicArn=world.topic.replace("alarms", "nope")) as source:
        with pytest.raises(ActionError, match=r"(?i)not ?found|does not exist"):
            await asyncio.wait_for(asyncio.shield(source.task), 30)


async def test_a_service_that_is_away_keeps_the_endpoint_open(world: World) -> None:
    async def answer(call: Call) -> web.Response | None:
        return refusal("ServiceUnavailable", 503) if call.action == "Subscribe" else None

    world.front.answer = answer
    async with world.listening() as source:
        await until(lambda: any("Cannot subscribe" in one for one in source.said), 60)
        assert (await world.post(world.message()))[0] == 200
        assert len(await source.received(1)) == 1
        world.front.answer = answering("none")
        await until(lambda: any("Subscribed to the topic" in one for one in source.said), 60)


# ---- validation


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rawMessageDelivery": True}, "carry no signature"),
        ({"validateSignature": False}, "whoever reaches the endpoint"),
    ],
)
def test_traps_are_told(change: dict[str, Any], said: str) -> None:
    webhook = {"endpoint": "/alarms", "port": "0", "method": "POST", "url": "http://hooks.example.com"}
    given = {"region": REGION, "topicArn": "arn:x", "validateSignature": True, "webhook": webhook} | change
    problems = Problems()
    SnsSource.validate(SnsSource.Spec.parse(given), problems)
    assert any(said in str(one) for one in problems), list(map(str, problems))
