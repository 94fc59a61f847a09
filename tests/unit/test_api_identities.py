"""Who asks: certificates, tokens, nobody; and what a request line asks for."""

from __future__ import annotations

import base64
import json
import ssl
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from support.api_objects import Objects, binding, role, thing

from events.local.apiserver.access import (
    account_secrets,
    authentication,
    certificates,
    front,
    identity,
    kubeconfig,
    requests,
    token_requests,
    tokens,
)
from events.local.apiserver.access.authentication import Facts
from events.local.apiserver.access.identity import AUTHENTICATED, MASTERS, Attributes, User
from events.local.apiserver.status import StatusError

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
SECONDS = NOW.timestamp()


# certificates


def test_all_files_are_for_their_owner_alone_and_stay_over_starts(tmp_path: Path) -> None:
    first = certificates.Authority(tmp_path, NOW)
    server, admin = first.server(["api.test", "10.0.0.7"], NOW), first.admin(NOW)
    again = certificates.Authority(tmp_path, NOW + timedelta(days=1))
    assert again.pem == first.pem
    assert again.server(["api.test", "10.0.0.7"], NOW).pem == server.pem
    assert again.admin(NOW).pem == admin.pem
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


def test_a_certificate_is_renewed_before_it_ends_and_for_other_names(tmp_path: Path) -> None:
    authority = certificates.Authority(tmp_path, NOW)
    serving = certificates.Serving(authority, [], NOW)
    assert not serving.renew(NOW + timedelta(days=200))
    assert serving.renew(NOW + timedelta(days=300))
    late = NOW + timedelta(days=300)
    before = authority.server([], late)
    assert authority.server(["more.test"], late).pem != before.pem
    assert authority.admin(late).certificate.not_valid_after_utc > late + timedelta(days=300)


def test_the_authority_is_renewed_with_its_key_so_that_what_it_signed_stays_good(tmp_path: Path) -> None:
    authority = certificates.Authority(tmp_path, NOW)
    late = NOW + timedelta(days=3000)
    signed = authority.issue("ann", ["staff"], late)
    renewed = certificates.Authority(tmp_path, late)
    assert renewed.pem != authority.pem
    signed.certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(renewed.pem))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda pki: (pki / "ca.key").write_text("nonsense"), "ca.key is no private key"),
        (lambda pki: (pki / "ca.crt").write_text("nonsense"), "ca.crt is no certificate"),
        (lambda pki: (pki / "ca.key").unlink(), "ca.key is missing"),
    ],
)
def test_a_broken_key_is_told_with_its_cure(tmp_path: Path, damage: Any, says: str) -> None:
    certificates.Authority(tmp_path, NOW)
    damage(tmp_path / "pki")
    with pytest.raises(certificates.BrokenKey, match=says) as told:
        certificates.Authority(tmp_path, NOW)
    assert told.value.cure


def test_a_start_that_died_between_key_and_certificate_is_completed(tmp_path: Path) -> None:
    certificates.Authority(tmp_path, NOW)
    (tmp_path / "pki" / "ca.crt").unlink()
    key = (tmp_path / "pki" / "ca.key").read_bytes()
    certificates.Authority(tmp_path, NOW)
    assert (tmp_path / "pki" / "ca.key").read_bytes() == key


def handshake(
    authority: certificates.Authority, serving: certificates.Serving, client: certificates.Pair | None, where: Path
) -> Any:
    """The client certificate that the server sees in a handshake in memory."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if client:
        (where / "c.crt").write_bytes(client.pem)
        (where / "c.key").write_bytes(client.key_pem)
        context.load_cert_chain(where / "c.crt", where / "c.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    two = serving.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (one, two):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return two.getpeercert()


def test_a_client_certificate_says_who_one_is(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = certificates.Authority(tmp_path, now)
    serving = certificates.Serving(authority, [], now)
    shown = handshake(authority, serving, authority.issue("ann", ["staff", "ops"], now), tmp_path)
    user = authentication.authenticate(Facts(certificate=shown), tokens.Tokens(tmp_path, Objects()), SECONDS)
    assert user == User("ann", groups=("staff", "ops", AUTHENTICATED))
    assert certificates.user_of(handshake(authority, serving, None, tmp_path)) is None
    stranger = certificates.Authority(tmp_path / "other", now)
    with pytest.raises(ssl.SSLError):
        handshake(authority, serving, stranger.issue("root", [MASTERS], now), tmp_path)


def test_a_kubeconfig_is_written_whole_and_for_its_owner(tmp_path: Path) -> None:
    authority = certificates.Authority(tmp_path, NOW)
    path = tmp_path / "deep" / "config"
    kubeconfig.write(path, kubeconfig.of_certificate("https://127.0.0.1:1", authority.pem, authority.admin(NOW)))
    read = yaml.safe_load(path.read_text())
    assert base64.b64decode(read["clusters"][0]["cluster"]["certificate-authority-data"]) == authority.pem
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["config"]


# tokens


@pytest.fixture
def objects() -> Objects:
    kept = Objects()
    kept.put(thing("ServiceAccount", "bob", "n"))
    kept.put(thing("Pod", "p", "n", spec={"serviceAccountName": "bob", "nodeName": "local"}))
    kept.put(thing("Secret", "s", "n"))
    kept.put(thing("Node", "local"))
    return kept


@pytest.fixture
def issuer(tmp_path: Path, objects: Objects) -> tokens.Tokens:
    return tokens.Tokens(tmp_path, objects)


def asked(issuer: tokens.Tokens, objects: Objects, now: float = SECONDS, **spec: Any) -> dict[str, Any]:
    it = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
    return token_requests.request(it, "n", "bob", issuer, objects, now)


def bound(kind: str, name: str, **more: str) -> dict[str, str]:
    return {"apiVersion": "v1", "kind": kind, "name": name, **more}


def test_a_token_stands_for_its_account_until_it_expires(issuer: tokens.Tokens, objects: Objects) -> None:
    answer = asked(issuer, objects)
    assert answer["status"]["expirationTimestamp"] == "2024-05-01T13:00:00Z"
    assert answer["spec"] == {"audiences": [tokens.ISSUER], "expirationSeconds": 3600, "boundObjectRef": None}
    bearer = Facts(f"Bearer {answer['status']['token']}")
    user = authentication.authenticate(bearer, issuer, SECONDS)
    assert (user.name, user.groups) == (
        "system:serviceaccount:n:bob",
        ("system:serviceaccounts", "system:serviceaccounts:n", AUTHENTICATED),
    )
    with pytest.raises(StatusError) as refused:
        authentication.authenticate(bearer, issuer, SECONDS + 3700)
    assert (refused.value.code, refused.value.message, refused.value.details) == (401, "Unauthorized", None)


@pytest.mark.parametrize(("kind", "name"), [("Pod", "p"), ("Secret", "s"), ("Node", "local")])
def test_a_token_ends_with_what_it_is_bound_to(issuer: tokens.Tokens, objects: Objects, kind: str, name: str) -> None:
    token = asked(issuer, objects, boundObjectRef=bound(kind, name))["status"]["token"]
    verified = issuer.verify(token, SECONDS)
    assert verified is not None
    shown = {key.rpartition("/")[2] for key in verified.user.extra}
    assert (
        shown - {"credential-id"}
        == {
            "Pod": {"pod-name", "pod-uid", "node-name", "node-uid"},
            "Secret": set(),
            "Node": {"node-name", "node-uid"},
        }[kind]
    )
    it = objects.get(f"{kind.lower()}s", "" if kind == "Node" else "n", name)
    assert it is not None
    objects.put({**it, "metadata": {**it["metadata"], "uid": "another"}})
    with pytest.raises(tokens.TokenError, match="UID"):
        issuer.verify(token, SECONDS)
    objects.drop(it)
    with pytest.raises(tokens.TokenError, match="invalidated"):
        issuer.verify(token, SECONDS)


def test_a_token_ends_with_its_account_and_a_namesake_does_not_revive_it(
    issuer: tokens.Tokens, objects: Objects
) -> None:
    token = asked(issuer, objects)["status"]["token"]
    account = objects.get("serviceaccounts", "n", "bob")
    assert account is not None
    objects.drop(account)
    with pytest.raises(tokens.TokenError, match="not found"):
        issuer.verify(token, SECONDS)
    objects.put(thing("ServiceAccount", "bob", "n"))
    with pytest.raises(tokens.TokenError, match="does not match claim"):
        issuer.verify(token, SECONDS)


def test_a_token_for_others_is_none_for_us(issuer: tokens.Tokens, objects: Objects) -> None:
    token = asked(issuer, objects, audiences=["vault"])["status"]["token"]
    with pytest.raises(StatusError):
        authentication.authenticate(Facts(f"bearer {token}"), issuer, SECONDS)
    verified = issuer.verify(token, SECONDS, ["vault", "other"])
    assert verified is not None
    assert verified.audiences == ("vault",)


def test_tokens_survive_a_start_and_a_change_of_keys(tmp_path: Path, objects: Objects) -> None:
    first = tokens.Tokens(tmp_path, objects)
    token = asked(first, objects)["status"]["token"]
    assert tokens.Tokens(tmp_path, objects).verify(token, SECONDS)
    (tmp_path / "pki" / "sa.key").rename(tmp_path / "pki" / "sa-1.key")
    second = tokens.Tokens(tmp_path, objects)
    assert second.verify(token, SECONDS)
    assert len(second.public_keys()["keys"]) == 2
    (tmp_path / "pki" / "sa-1.key").unlink()
    with pytest.raises(tokens.TokenError, match="no keys found"):
        tokens.Tokens(tmp_path, objects).verify(token, SECONDS)


def test_a_secret_gets_a_token_that_lasts_as_long_as_it(issuer: tokens.Tokens, objects: Objects) -> None:
    annotations = {account_secrets.ACCOUNT: "bob"}
    secret = thing("Secret", "bob-token", "n", type=account_secrets.TYPE, metadata={"annotations": annotations})
    account = objects.get("serviceaccounts", "n", "bob")
    assert account is not None
    filled = account_secrets.completed(secret, account, issuer, b"PEM")
    assert filled is not None
    assert account_secrets.completed(filled, account, issuer, b"PEM") is None
    assert base64.b64decode(filled["data"]["namespace"]) == b"n"
    bearer = Facts(f"Bearer {base64.b64decode(filled['data']['token']).decode()}")
    objects.put(filled)
    late = SECONDS + 10 * 365 * 86_400
    assert authentication.authenticate(bearer, issuer, late).name == "system:serviceaccount:n:bob"
    objects.put(filled | {"data": {}})
    with pytest.raises(StatusError):
        authentication.authenticate(bearer, issuer, late)
    objects.drop(filled)
    with pytest.raises(StatusError):
        authentication.authenticate(bearer, issuer, late)
    assert not account_secrets.is_orphan(filled, account)
    assert account_secrets.is_orphan(filled, thing("ServiceAccount", "bob", "n"))
    assert account_secrets.is_orphan(secret, None)


def test_others_can_verify_tokens_by_the_published_keys(issuer: tokens.Tokens, objects: Objects) -> None:
    token = asked(issuer, objects, now=datetime.now(UTC).timestamp(), audiences=["vault"])["status"]["token"]
    found = issuer.configuration("https://127.0.0.1:6443/openid/v1/jwks")
    keys = jwt.PyJWKSet.from_dict(issuer.public_keys())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    algorithms = found["id_token_signing_alg_values_supported"]
    claims = jwt.decode(token, key, algorithms, audience="vault", issuer=found["issuer"])
    assert claims["sub"] == "system:serviceaccount:n:bob"


def changed(token: str, **claims: Any) -> str:
    head, body, signature = token.split(".")
    read = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | claims
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(read).encode()).decode().rstrip('=')}.{signature}"


def without_signature(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


def test_a_forged_token_is_refused(issuer: tokens.Tokens, objects: Objects) -> None:
    token = asked(issuer, objects)["status"]["token"]
    forged = [
        changed(token, sub="system:serviceaccount:kube-system:admin"),
        changed(token, iss="https://elsewhere"),
        without_signature(token),
        token + "A",
        token[:-8],
        token + "\ud800",
        "x.y.z",
        "....",
        "nonsense",
        "a" * 100_000,
        "ä" * 10 + "\udcff",
    ]
    for one in forged:
        with pytest.raises(StatusError) as refused:
            authentication.authenticate(Facts(f"Bearer {one}"), issuer, SECONDS)
        assert refused.value.code == 401


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Bearer", "Bearer  ", "Negotiate x"])
def test_without_a_token_one_is_nobody(issuer: tokens.Tokens, header: str | None) -> None:
    assert authentication.authenticate(Facts(header), issuer, SECONDS) == identity.anonymous()


def test_a_websocket_brings_its_token_as_a_protocol(issuer: tokens.Tokens, objects: Objects) -> None:
    token = asked(issuer, objects)["status"]["token"]
    coded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    facts = Facts(protocols=["v5.channel.k8s.io", f"base64url.bearer.authorization.k8s.io.{coded}"])
    assert authentication.authenticate(facts, issuer, SECONDS).name.endswith(":bob")


@pytest.mark.parametrize(
    ("spec", "code", "says"),
    [
        ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 1 << 33}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": bound("Pod", "gone")}, 404, 'pods "gone" not found'),
        ({"boundObjectRef": bound("ConfigMap", "c")}, 400, "cannot bind token to object of type /v1, Kind=ConfigMap"),
        ({"boundObjectRef": bound("Secret", "s", uid="x")}, 409, "does not match the UID in record"),
    ],
)
def test_a_token_that_cannot_be_is_refused(
    issuer: tokens.Tokens, objects: Objects, spec: dict[str, Any], code: int, says: str
) -> None:
    with pytest.raises(StatusError) as refused:
        asked(issuer, objects, **spec)
    assert refused.value.code == code
    assert says in refused.value.message


def test_a_token_for_an_account_that_is_not_there_or_is_anothers_pod(issuer: tokens.Tokens, objects: Objects) -> None:
    with pytest.raises(StatusError, match='serviceaccounts "ann" not found'):
        token_requests.request({"spec": {}}, "n", "ann", issuer, objects, SECONDS)
    objects.put(thing("ServiceAccount", "ann", "n"))
    spec = {"boundObjectRef": bound("Pod", "p")}
    with pytest.raises(StatusError, match="running with different serviceaccount"):
        token_requests.request({"spec": spec}, "n", "ann", issuer, objects, SECONDS)


def test_a_review_tells_whose_token_it_is(issuer: tokens.Tokens, objects: Objects) -> None:
    token = asked(issuer, objects)["status"]["token"]
    status = token_requests.review({"spec": {"token": token}}, issuer, SECONDS)["status"]
    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:serviceaccount:n:bob"
    assert status["audiences"] == [tokens.ISSUER]
    late = token_requests.review({"spec": {"token": token}}, issuer, SECONDS + 4000)["status"]
    assert late == {"user": {}, "error": "[invalid bearer token, service account token has expired]"}
    stranger = token_requests.review({"spec": {"token": "x"}}, issuer, SECONDS)["status"]
    assert stranger == {"user": {}, "error": "invalid bearer token"}
    with pytest.raises(StatusError, match="token is required"):
        token_requests.review({"spec": {}}, issuer, SECONDS)


# what is asked for


@pytest.mark.parametrize(
    ("line", "query", "expected"),
    [
        ("GET /api/v1/namespaces/n/pods", {}, Attributes("list", "", "v1", "pods", "", "n")),
        ("GET /api/v1/namespaces/n/pods/p", {}, Attributes("get", "", "v1", "pods", "", "n", "p")),
        ("GET /api/v1/namespaces/n/pods/p/log", {}, Attributes("get", "", "v1", "pods", "log", "n", "p")),
        ("GET /api/v1/pods", {"watch": "True"}, Attributes("watch", "", "v1", "pods")),
        ("GET /api/v1/pods", {"watch": "0"}, Attributes("list", "", "v1", "pods")),
        ("GET /api/v1/watch/namespaces/n/pods", {}, Attributes("watch", "", "v1", "pods", "", "n")),
        ("GET /api/v1/namespaces", {}, Attributes("list", "", "v1", "namespaces")),
        ("GET /api/v1/namespaces/n", {}, Attributes("get", "", "v1", "namespaces", "", "n", "n")),
        ("PUT /api/v1/namespaces/n/finalize", {}, Attributes("update", "", "v1", "namespaces", "finalize", "n", "n")),
        (
            "DELETE /apis/apps/v1/namespaces/n/deployments",
            {},
            Attributes("deletecollection", "apps", "v1", "deployments", "", "n"),
        ),
        ("POST /apis/apps/v1/namespaces/n/deployments", {}, Attributes("create", "apps", "v1", "deployments", "", "n")),
        ("PATCH /apis/g/v2/things/t/status", {}, Attributes("patch", "g", "v2", "things", "status", "", "t")),
        ("GET /api/v1/pods", {"fieldSelector": "metadata.name=p"}, Attributes("list", "", "v1", "pods", name="p")),
        ("GET /apis/apps/v1", {}, Attributes("get")),
        ("GET /api", {}, Attributes("get")),
        ("POST /", {}, Attributes("post")),
    ],
)
def test_a_request_line_says_what_is_asked_for(line: str, query: dict[str, str], expected: Attributes) -> None:
    method, _, path = line.partition(" ")
    found = requests.attributes(method, path, query)
    assert found == Attributes(**{key: getattr(expected, key) for key in Attributes.__slots__} | {"path": path})


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1//namespaces/n/secrets/s", 404),
        ("/api//v1/secrets", 404),
        ("/apis/apps/v1/namespaces//deployments", 404),
        ("/api/v1/watch", 400),
    ],
)
def test_no_path_is_taken_for_something_else(path: str, code: int) -> None:
    with pytest.raises(StatusError) as refused:
        requests.attributes("GET", path, {})
    assert refused.value.code == code


texts = st.text(max_size=30) | st.sampled_from(["Bearer a.b.c", "system:node:x", "", "a/b", "%2F", "\udcff"])
headers = st.tuples(
    st.sampled_from(
        ["Authorization", "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-é%"]
    ),
    texts,
)


@cache
def front_of_nothing() -> front.Front:
    with tempfile.TemporaryDirectory() as directory:
        return front.Front(Path(directory), Objects(), Objects(), NOW)


@given(
    st.sampled_from(["GET", "POST", "DELETE", "BREW", ""]),
    st.lists(texts | st.sampled_from(["api", "apis", "v1", "watch", "namespaces"]), max_size=8),
    st.dictionaries(st.sampled_from(["watch", "fieldSelector"]), texts),
    st.lists(headers, max_size=4),
)
def test_nothing_but_a_refusal_comes_of_noise(
    method: str, parts: list[str], query: dict[str, str], given_headers: list[tuple[str, str]]
) -> None:
    try:
        front_of_nothing().enter(method, "/" + "/".join(parts), query, given_headers, None, SECONDS)
    except StatusError as refused:
        code = refused.code
    else:
        code = 200
    assert code in (200, 400, 401, 403, 404)


def test_the_front_enters_refuses_and_lets_one_be_another(tmp_path: Path, objects: Objects) -> None:
    objects.put(role("r", "n", ("list", "", "configmaps")))
    objects.put(binding("b", "n", "Role/r", "ServiceAccount/n/bob"))
    found = front.Front(tmp_path, objects, objects, NOW)
    token = asked(found.tokens, objects)["status"]["token"]
    path, peer = (
        "/api/v1/namespaces/n/configmaps",
        {"subject": [[("organizationName", MASTERS)], [("commonName", "root")]]},
    )

    def enter(path: str, *headers: tuple[str, str], certificate: Any = None) -> front.Entered:
        return found.enter("GET", path, {}, headers, certificate, SECONDS)

    entered = enter(path, ("authorization", f"Bearer {token}"))
    assert (entered.user.name, entered.wanted) == (
        "system:serviceaccount:n:bob",
        Attributes("list", "", "v1", "configmaps", "", "n", path=path),
    )
    with pytest.raises(StatusError, match='cannot list resource "secrets"'):
        enter("/api/v1/namespaces/n/secrets", ("authorization", f"Bearer {token}"))
    with pytest.raises(StatusError, match='forbidden: User "system:anonymous" cannot get path "/api"'):
        enter("/api")
    other = enter(path, ("Impersonate-User", entered.user.name), certificate=peer)
    assert (other.user.name, other.requestor.name) == (entered.user.name, "root")
    with pytest.raises(StatusError, match="cannot impersonate"):
        enter(path, ("authorization", f"Bearer {token}"), ("Impersonate-User", "root"))
