"""The git artifact against git's own servers on loopback; ssh is a stand-in. Contract: sensors D.16; R8, R26, Z5."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support import git_server
from support.git_server import HttpServer, Repository, git
from support.triggers import context, secret

from events.backoff import Backoff
from events.errors import ActionError, CredentialError
from sensors import artifacts
from sensors.artifacts import git_command
from sensors.artifacts.git import GitReader
from sensors.artifacts.locations import ArtifactLocation, GitArtifact
from sensors.artifacts.reading import Refused

POD = "kind: Pod\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders for fetching are made; nothing may be left there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit("flows/pod.yaml", POD)
    return made


@pytest.fixture
async def served(repository: Repository) -> AsyncIterator[HttpServer]:
    async with git_server.http(repository.root) as server:
        yield server


def reader(root: Path, url: str, path: str = "flows/pod.yaml", **more: Any) -> GitReader:
    raw = {"url": url, "cloneDirectory": "/nowhere", "filePath": path, **more}
    return GitReader(GitArtifact.parse(raw), context(root))


async def test_a_branch_is_read_and_read_again_when_it_has_moved(
    repository: Repository, served: HttpServer, tmp_path: Path, places: Path
) -> None:
    one = reader(tmp_path, f"{served.url}/flows.git")
    assert await one.read() == POD
    assert await one.read() == POD
    repository.commit("flows/pod.yaml", "kind: Job\n")
    assert await one.read() == "kind: Job\n"
    assert not list(places.iterdir())


async def test_an_unchanged_commit_is_not_fetched_again(
    served: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # P5
    one = reader(tmp_path, f"{served.url}/flows.git")
    first = await one.read()
    monkeypatch.setattr(GitReader, "_fetched", None)
    assert await one.read() is first


async def test_ref_goes_before_tag_and_tag_before_branch(
    repository: Repository, served: HttpServer, tmp_path: Path
) -> None:
    url = f"{served.url}/flows.git"
    repository.commit("flows/pod.yaml", "kind: Tagged\n", ref="refs/tags/v1")
    git(repository.bare, "tag", "-a", "v2", "-m", "annotated", "refs/tags/v1")
    repository.commit("flows/pod.yaml", "kind: Proposed\n", ref="refs/pull/1/head")
    commit = repository.commit("flows/pod.yaml", "kind: Topic\n", ref="refs/heads/feature/topic")
    assert await reader(tmp_path, url, branch="feature/topic").read() == "kind: Topic\n"
    assert await reader(tmp_path, url, branch="feature/topic", tag="v1").read() == "kind: Tagged\n"
    assert await reader(tmp_path, url, tag="v2").read() == "kind: Tagged\n"
    assert await reader(tmp_path, url, tag="v1", ref="refs/pull/1/head").read() == "kind: Proposed\n"
    assert await reader(tmp_path, url, ref=commit).read() == "kind: Topic\n"
    assert await reader(tmp_path, url).read() == POD


async def test_a_remote_takes_the_place_of_the_first_url_where_it_has_the_ref(
    repository: Repository, served: HttpServer, tmp_path: Path
) -> None:
    other = Repository(tmp_path / "other")
    other.commit("flows/pod.yaml", "kind: Fork\n", ref="refs/heads/topic")
    async with git_server.http(other.root) as fork:
        remote = {"name": "fork", "urls": [f"{fork.url}/flows.git"]}
        assert await reader(tmp_path, f"{served.url}/flows.git", branch="topic", remote=remote).read() == "kind: Fork\n"
        assert await reader(tmp_path, f"{served.url}/flows.git", remote=remote).read() == POD


async def test_gits_own_protocol(repository: Repository, tmp_path: Path) -> None:
    async with git_server.daemon(repository.root) as url:
        assert await reader(tmp_path, f"{url}/flows.git").read() == POD


async def test_a_user_name_and_a_password(repository: Repository, tmp_path: Path) -> None:
    creds = {"username": secret("user"), "password": secret("password")}
    async with git_server.http(repository.root, "ada", "pa:ss") as server:
        url = f"{server.url}/flows.git"
        assert await reader(tmp_path, url, creds=creds).read() == POD
        assert await reader(tmp_path, url.replace("//", "//ada:pa%3Ass@")).read() == POD
        with pytest.raises(ActionError, match=r"could not read Username|Authentication failed"):
            await reader(tmp_path, url).read()
        with pytest.raises(ActionError) as error:
            await reader(tmp_path, url.replace("//", "//ada:wr0ng@")).read()
        assert "wr0ng" not in str(error.value)


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@asynccontextmanager
async def as_app(root: Path, url: str, answer: Any) -> AsyncIterator[GitReader]:
    """A reader that logs in as an app, where GitHub is a stand-in."""
    application = web.Application()
    application.router.add_post("/app/installations/{id}/access_tokens", answer)
    app = {"privateKey": secret("app.pem"), "appID": 12, "installationID": 34}
    raw = {"url": url, "cloneDirectory": "", "filePath": "flows/pod.yaml", "githubApp": app}
    async with TestServer(application) as api, aiohttp.ClientSession() as session:
        yield GitReader(GitArtifact.parse(raw), context(root, lambda: session), str(api.make_url("")).rstrip("/"))


async def test_a_github_app_gets_a_token(repository: Repository, tmp_path: Path) -> None:
    place = tmp_path / "secrets/creds/app.pem"
    asked: list[dict[str, Any]] = []

    def decoded(part: str) -> bytes:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    async def answer(request: web.Request) -> web.Response:
        head, claims, signature = request.headers["Authorization"].removeprefix("Bearer ").split(".")
        KEY.public_key().verify(decoded(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
        asked.append({"path": request.path} | json.loads(decoded(claims)))
        return web.json_response({"token": "ghs_1", "expires_at": "2099-01-01T00:00:00Z"}, status=201)

    async with (
        git_server.http(repository.root, "x-access-token", "ghs_1") as server,
        as_app(tmp_path, f"{server.url}/flows.git", answer) as one,
    ):
        with pytest.raises(CredentialError, match=r"no key 'app\.pem'"):
            await one.read()
        place.write_text("not a key")
        with pytest.raises(CredentialError, match="not a private key"):
            await one.read()
        place.write_bytes(PEM)
        assert await one.read() == POD
        repository.commit("flows/pod.yaml", "kind: Job\n")
        assert await one.read() == "kind: Job\n"
    [token] = asked
    assert (token["path"], token["iss"]) == ("/app/installations/34/access_tokens", "12")
    assert token["iat"] < time.time() < token["exp"] <= token["iat"] + 600


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [(401, "{}", "status 401"), (201, "[]", "holds no token"), (201, "<", "holds no token")],
)
async def test_without_a_token_there_is_no_login(tmp_path: Path, status: int, body: str, message: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with as_app(tmp_path, "https://example.com/flows.git", answer) as one:
        (tmp_path / "secrets/creds/app.pem").write_bytes(PEM)
        with pytest.raises(ActionError, match=f"githubApp: POST .*: {message}|{message}"):
            await one.read()


@pytest.mark.parametrize(
    ("more", "expected", "absent"),
    [
        ({}, "StrictHostKeyChecking=yes", "UserKnownHostsFile"),
        ({"insecureIgnoreHostKey": True}, "StrictHostKeyChecking=no", "StrictHostKeyChecking=yes"),
        ({"sshKeySecret": secret("key")}, "IdentitiesOnly=yes", "StrictHostKeyChecking=no"),
    ],
)
async def test_ssh_verifies_the_host_and_gets_the_key(
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    places: Path,
    more: dict[str, Any],
    expected: str,
    absent: str,
) -> None:
    said = tmp_path / "said"
    (tmp_path / "bin").mkdir()
    git_server.stand_in_for_ssh(tmp_path / "bin", said)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("SSH_KNOWN_HOSTS", raising=False)
    one = reader(tmp_path, f"git@example.com:{repository.bare}", **more)
    (tmp_path / "secrets/creds/key").write_text("-----KEY-----\n")
    assert await one.read() == POD
    lines = said.read_text().splitlines()
    assert expected in lines
    assert not [line for line in lines if line.startswith(absent)]
    assert "git@example.com" in lines
    assert ("-----KEY-----" in lines) == ("600" in lines) == ("sshKeySecret" in more)
    assert not list(places.iterdir())
    await reader(tmp_path, f"ssh://example.com:22{repository.bare}", **more).read()
    assert "User=git" in said.read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filePath": "flows/../../etc/passwd"}, r"'\.\.' in it"),
        ({"filePath": "~/x"}, "'~' in it"),
        ({"filePath": "a\\b"}, "in it"),
        ({"filePath": "/"}, "not the path of a file"),
        ({"filePath": "nope.yaml"}, "there is no 'nope.yaml'"),
        ({"filePath": "flows"}, "is not a file"),
        ({"filePath": "flows/*"}, "there is no"),
        ({"filePath": "link.yaml"}, "symbolic link"),
        ({"filePath": "folder/pod.yaml"}, "there is no"),
        ({"filePath": "--output=x"}, "there is no"),
        ({"filePath": "large.yaml"}, "more than 3072 KiB"),
        ({"filePath": "bytes.yaml"}, "not UTF-8"),
        ({"branch": "nope"}, "has no refs/heads/nope"),
        ({"branch": "a b"}, "not the name of a ref"),
        ({"branch": "master:refs/heads/x"}, "not the name of a ref"),
        ({"tag": "../heads/master"}, "not the name of a ref"),
        ({"ref": "--upload-pack=touch x"}, "not the name of a ref"),
        ({"ref": "-x"}, "not the name of a ref"),
        ({"url": "ext::sh -c touch% x"}, "url is not one of"),
        ({"url": "--upload-pack=touch x"}, "url is not one of"),
        ({"url": "/etc"}, "url is not one of"),
        ({"url": "file:///etc"}, "url is not one of"),
        ({"url": "ssh://-oProxyCommand=x/y"}, "url is not one of"),
        ({"url": "-oProxyCommand=x:y"}, "url is not one of"),
        ({"url": "host:-x"}, "url is not one of"),
        ({"url": ""}, "url is not one of"),
    ],
)
async def test_what_cannot_be_used_is_refused_at_once(
    repository: Repository, served: HttpServer, tmp_path: Path, places: Path, change: dict[str, Any], message: str
) -> None:
    work = repository.work
    (work / "link.yaml").symlink_to("flows/pod.yaml")
    (work / "folder").symlink_to("flows")
    (work / "large.yaml").write_text(" " * (3 * 1024 * 1024 + 1))
    (work / "bytes.yaml").write_bytes(b"\xff\xfe")
    repository.push()
    raw = {"url": f"{served.url}/flows.git", "path": "flows/pod.yaml"}
    changed = {"path" if name == "filePath" else name: value for name, value in change.items()}
    with pytest.raises(Refused, match=message):
        await reader(tmp_path, **(raw | changed)).read()
    assert not list(places.iterdir())


async def test_hooks_and_filters_of_a_repository_do_nothing(
    repository: Repository, served: HttpServer, tmp_path: Path
) -> None:  # Z5
    (repository.work / ".gitattributes").write_text("* filter=evil\n")
    (repository.work / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch\n')
    repository.push()
    assert await reader(tmp_path, f"{served.url}/flows.git").read() == POD


async def test_a_repository_has_a_limit(
    repository: Repository, served: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: Path
) -> None:
    (repository.work / "noise").write_bytes(os.urandom(8 * 1024 * 1024))
    repository.push()
    monkeypatch.setattr(git_command, "FOLDER_LIMIT", 1024 * 1024)
    monkeypatch.setattr(git_command, "_LOOK_SECONDS", 0.001)
    with pytest.raises(Refused, match="more than 1 MiB"):
        await reader(tmp_path, f"{served.url}/flows.git").read()
    assert not list(places.iterdir())


async def test_a_server_that_hangs_holds_up_nobody_and_leaves_no_process(tmp_path: Path, places: Path) -> None:  # R8
    connected = asyncio.Event()
    closed = asyncio.Event()

    async def hang(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        while await stream.read(1024):
            pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"git://127.0.0.1:{server.sockets[0].getsockname()[1]}/flows.git"
    where = ArtifactLocation.parse({"git": {"url": url, "cloneDirectory": "", "filePath": "a"}})
    one = artifacts.Artifact(where, context(tmp_path), backoff=Backoff(duration="1ms", steps=2), seconds=0.5)
    with pytest.raises(ActionError, match=r"artifact 'git': not read within 0\.5 s"):
        await one.load()
    async with asyncio.timeout(30):
        await connected.wait()
        await closed.wait()  # its other end is gone, and with it the process
    assert not list(places.iterdir())
    server.close()


async def test_a_server_that_is_away_is_tried_again(tmp_path: Path, unused_tcp_port: int) -> None:
    with pytest.raises(ActionError, match="git ls-remote") as error:
        await reader(tmp_path, f"http://127.0.0.1:{unused_tcp_port}/flows.git").read()
    assert not isinstance(error.value, Refused)


async def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="git command is not installed"):
        await reader(tmp_path, "https://example.com/x.git").read()


async def test_what_is_read_is_one_object(repository: Repository, served: HttpServer, tmp_path: Path) -> None:
    where = {"git": {"url": f"{served.url}/flows.git", "cloneDirectory": "/x", "filePath": "/flows/./pod.yaml"}}
    one = artifacts.Artifact(ArtifactLocation.parse(where), context(tmp_path))
    assert json.loads(await one.load()) == {"kind": "Pod"}
