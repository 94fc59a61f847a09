"""Artifacts of workflows in buckets: moto's S3, the controllers, and pods that really run. Contract: workflows I.6."""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import BasicAuth, web
from support.aws import Aws, aws
from support.pod_player import PodPlayer
from support.s3_front import refused, s3_front
from support.workflow_installation import Installation, memory, named, shell, workflow

from events.kube.api import KubeError, Object

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
ARCHIVED = "workflows.argoproj.io/workflow-archiving-status"
FINALIZER = "workflows.argoproj.io/artifact-gc"


@pytest.fixture(scope="module")
def server() -> Iterator[Aws]:
    with aws() as running:
        yield running


@pytest.fixture
def bucket(server: Aws) -> Any:
    server.reset()
    client = server.client("s3")
    client.create_bucket(Bucket="flows", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return client


def place(server: Aws, key: str = "", **more: Any) -> Object:
    found = {
        "bucket": "flows",
        "endpoint": server.host,
        "insecure": True,
        "accessKeySecret": {"name": "keys", "key": "user"},
        "secretKeySecret": {"name": "keys", "key": "password"},
        **more,
    }
    return found | ({"key": key} if key else {})


SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "keys", "namespace": "ns"},
    "data": {"user": "dGVzdA==", "password": "dGVzdA=="},
}


def repositories(server: Aws, **more: Any) -> Object:
    text = yaml.safe_dump({"s3": place(server, keyFormat="runs/{{workflow.name}}/{{pod.name}}"), **more})
    notes = {"workflows.argoproj.io/default-artifact-repository": "main"}
    meta = {"name": "artifact-repositories", "namespace": "ns", "annotations": notes}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"main": text}}


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    async def logs(name: str, **_: Any) -> AsyncIterator[bytes]:
        yield f"the log of {name}".encode()

    async with Installation(memory(), tmp_path / "data", logs=logs).running() as found:
        await found.api.create(SECRET)
        yield found


def keys(bucket: Any) -> list[str]:
    return [one["Key"] for one in bucket.list_objects_v2(Bucket="flows").get("Contents") or ()]


def content(bucket: Any, key: str) -> bytes:
    return bytes(bucket.get_object(Bucket="flows", Key=key)["Body"].read())


def two_steps(tmp_path: Path, **artifact: Any) -> list[Object]:
    """A folder is written and read by the next one."""
    write = shell(
        "write",
        f"mkdir -p {tmp_path}/made; echo one > {tmp_path}/made/1; echo two > {tmp_path}/made/2",
        outputs={"artifacts": [{"name": "f", "path": f"{tmp_path}/made", **artifact}]},
    )
    read = shell(
        "read",
        f"cat {tmp_path}/got/1 {tmp_path}/got/2",
        inputs={"artifacts": [{"name": "f", "path": f"{tmp_path}/got"}]},
    )
    given = {"artifacts": [{"name": "f", "from": "{{steps.a.outputs.artifacts.f}}"}]}
    steps = [[{"name": "a", "template": "write"}], [{"name": "b", "template": "read", "arguments": given}]]
    out = {"parameters": [{"name": "r", "value": "{{steps.b.outputs.result}}"}]}
    leaf = {"name": "say", "inputs": {"parameters": [{"name": "r"}]}, "suspend": {"duration": "1ms"}}
    steps.append([{"name": "c", "template": "say", "arguments": out}])
    return [{"name": "main", "steps": steps}, write, read, leaf]


@pytest.mark.parametrize(
    ("archive", "stored"),
    [
        ({}, ["f.tgz"]),
        ({"zip": {}}, ["f.zip"]),
        ({"none": {}}, ["made/1", "made/2"]),
        ({"tar": {"compressionLevel": 0}}, ["f.tgz"]),
    ],
)
async def test_a_folder_goes_through_the_default_repository(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path, archive: Object, stored: list[str]
) -> None:
    await installation.api.create(repositories(server))
    more = {"archive": archive} if archive else {}
    status = await installation.result(workflow("w", *two_steps(tmp_path, **more)))
    assert status["phase"] == "Succeeded", status
    assert named(status, "b")["outputs"]["result"] == "one\ntwo"
    assert all(one.startswith("runs/w/w-write-") for one in keys(bucket))
    assert [one.split("/", 3)[3] for one in keys(bucket)] == stored
    (artifact,) = named(status, "a")["outputs"]["artifacts"]
    assert set(artifact["s3"]) == {"key"}
    assert status["artifactRepositoryRef"]["configMap"] == "artifact-repositories"


async def test_an_artifact_with_a_bucket_of_its_own_is_written_and_read_there(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("inside.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    bucket.put_object(Bucket="flows", Key="in/packed", Body=buffer.getvalue())
    bucket.put_object(Bucket="flows", Key="in/plain", Body=b"plain")
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as made:
        made.writestr("a.txt", "A")
        made.writestr("b.txt", "B")
    bucket.put_object(Bucket="flows", Key="in/zipped", Body=zipped.getvalue())
    names = ("packed", "plain", "zipped")
    inputs = [{"name": name, "path": f"{tmp_path}/{name}", "s3": place(server, f"in/{name}")} for name in names]
    inputs.append(
        {"name": "kept", "path": f"{tmp_path}/kept", "s3": place(server, "in/packed"), "archive": {"none": {}}}
    )
    inputs.append({"name": "folder", "path": f"{tmp_path}/folder", "s3": place(server, "in")})
    inputs.append({"name": "part", "path": f"{tmp_path}/part", "s3": place(server, "in"), "subPath": "plain"})
    inputs.append({"name": "never", "path": f"{tmp_path}/never", "s3": place(server, "no"), "optional": True})
    outputs = {
        "artifacts": [{"name": "o", "path": f"{tmp_path}/o", "s3": place(server, "out/o"), "archive": {"none": {}}}]
    }
    text = (
        f"cd {tmp_path}; test ! -e never; (cat packed plain part zipped/a.txt zipped/b.txt; ls folder; "
        "gzip -t <kept && echo gzipped) >o"
    )
    main = shell("main", text, inputs={"artifacts": inputs}, outputs=outputs)
    status = await installation.result(workflow("w", main))
    assert status["phase"] == "Succeeded", status
    assert content(bucket, "out/o") == b"dataplainplainABpacked\nplain\nzipped\ngzipped\n"
    assert status["nodes"]["w"]["outputs"]["artifacts"][0]["s3"]["bucket"] == "flows"
    await installation.until("w", lambda one: one["metadata"]["labels"].get(ARCHIVED))
    assert not list(installation.data.glob("nodes/*/*/inputs"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"key": "nowhere"},
            "input artifact i: key 'nowhere' of bucket 'flows' at {host} does not exist "
            "(see that the key is right, or make the artifact optional: true)",
        ),
        ({"bucket": "none"}, "(create the bucket, or give createBucketIfNotPresent: {{}})"),
        (
            {"accessKeySecret": {"name": "lost", "key": "user"}},
            "bucket 'flows' at {host}: Secret 'lost', key 'user', of namespace 'ns' cannot be read",
        ),
    ],
)
async def test_an_input_that_cannot_be_had_is_an_error_that_names_bucket_key_and_cure(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path, change: Object, says: str
) -> None:
    given = {"name": "i", "path": f"{tmp_path}/i", "s3": {**place(server, "some"), **change}}
    status = await installation.result(workflow("w", shell("main", "true", inputs={"artifacts": [given]})))
    assert status["phase"] == "Error"
    assert says.format(host=server.host) in status["message"]
    assert await installation.all("Pod") == []


async def test_an_output_that_cannot_be_stored_is_an_error_of_the_node(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path
) -> None:
    outputs = {"artifacts": [{"name": "o", "path": f"{tmp_path}/o", "s3": place(server, "o", bucket="none")}]}
    status = await installation.result(workflow("w", shell("main", f"echo 1 >{tmp_path}/o", outputs=outputs)))
    assert status["phase"] == "Error"
    assert "output artifact o: bucket 'none' at" in status["message"]
    made = {
        "artifacts": [{**outputs["artifacts"][0], "s3": place(server, "o", bucket="new", createBucketIfNotPresent={})}]
    }
    status = await installation.result(workflow("v", shell("main", f"echo 1 >{tmp_path}/o", outputs=made)))
    assert status["phase"] == "Succeeded", status


async def test_a_repository_that_is_named_must_be_there(installation: Installation) -> None:
    status = await installation.result(workflow("w", shell("main", "true"), artifactRepositoryRef={"key": "other"}))
    assert status["phase"] == "Error"
    assert status["message"].startswith("failed to resolve artifact repository: there is no ConfigMap")


async def test_logs_are_archived_and_collected_with_the_workflow(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path
) -> None:
    await installation.api.create(repositories(server, archiveLogs=True))
    gc = {"strategy": "OnWorkflowDeletion"}
    await installation.api.create(workflow("w", *two_steps(tmp_path), artifactGC=gc))
    ended = await installation.ended("w")
    assert ended["metadata"]["finalizers"] == [FINALIZER]
    logs = [one for one in keys(bucket) if one.endswith("/main.log")]
    assert len(logs) == 2
    assert content(bucket, logs[0]).startswith(b"the log of w-")
    names = [one["name"] for one in named(ended["status"], "a")["outputs"]["artifacts"]]
    assert names == ["f", "main-logs"]
    resource = await installation.api.resource("argoproj.io/v1alpha1", "Workflow")
    await installation.api.delete(resource, "w", namespace="ns")
    ends = time.monotonic() + 60
    while True:
        try:
            await installation.get("Workflow", "w")
        except KubeError:
            break
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)
    assert keys(bucket) == []


async def test_artifacts_go_at_completion_and_one_may_stay(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path
) -> None:
    outputs = [
        {"name": "a", "path": f"{tmp_path}/a", "s3": place(server, "a")},
        {"name": "b", "path": f"{tmp_path}/a", "s3": place(server, "b"), "artifactGC": {"strategy": "Never"}},
        {"name": "c", "path": f"{tmp_path}/a"},
    ]
    main = shell("main", f"echo 1 >{tmp_path}/a", outputs={"artifacts": outputs})
    await installation.api.create(workflow("w", main, artifactGC={"strategy": "OnWorkflowCompletion"}))
    found = await installation.until("w", lambda one: one.get("status", {}).get("artifactGCStatus"))
    assert keys(bucket) == ["b"]
    several = found["status"]["nodes"]["w"]["outputs"]["artifacts"]
    assert [one.get("deleted") for one in several] == [True, None, True]
    local = installation.data / "artifacts" / "ns"
    assert [one for one in local.rglob("*") if one.is_file()] == []


async def test_a_workflow_is_not_lost_when_its_artifacts_cannot_be_deleted(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path
) -> None:
    output = {"name": "a", "path": f"{tmp_path}/a", "s3": place(server, "a")}
    main = shell("main", f"echo 1 >{tmp_path}/a", outputs={"artifacts": [output]})
    await installation.api.create(workflow("w", main, artifactGC={"strategy": "OnWorkflowDeletion"}))
    await installation.ended("w")
    secrets = await installation.api.resource("v1", "Secret")
    await installation.api.delete(secrets, "keys", namespace="ns")
    workflows = await installation.api.resource("argoproj.io/v1alpha1", "Workflow")
    await installation.api.delete(workflows, "w", namespace="ns")

    def is_told(obj: Object) -> bool:
        return any(one["type"] == "ArtifactGCError" for one in obj["status"]["conditions"])

    found = await installation.until("w", is_told)
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert keys(bucket) == ["a"]


async def test_a_data_template_sees_the_keys_of_a_folder(installation: Installation, server: Aws, bucket: Any) -> None:
    for name in ("in/a.pdf", "in/b.txt", "in/deep/c.pdf", "other"):
        bucket.put_object(Bucket="flows", Key=name, Body=b"x")
    source = {"artifactPaths": {"name": "files", "s3": place(server, "in/")}}
    steps = [{"expression": "filter(data, {# endsWith '.pdf'})"}, {"expression": "map(data, {# + '!'})"}]
    status = await installation.result(
        workflow("w", {"name": "main", "data": {"source": source, "transformation": steps}})
    )
    assert status["phase"] == "Succeeded", status
    assert status["nodes"]["w"]["outputs"]["result"] == '["in/a.pdf!","in/deep/c.pdf!"]'


# --- URLs


class Site:
    """A web server with files, for those who know the password."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.failing = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if not given or BasicAuth.decode(given) != BasicAuth("test", "test") or request.headers.get("X-Who") != "me":
            return web.Response(status=401)
        if self.failing:
            self.failing -= 1
            return web.Response(status=503)
        if request.method == "PUT":
            self.files[request.path] = await request.read()
            return web.Response(status=201)
        found = self.files.get(request.path)
        return web.Response(status=404) if found is None else web.Response(body=found)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = Site()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


LOGIN = {"usernameSecret": {"name": "keys", "key": "user"}, "passwordSecret": {"name": "keys", "key": "password"}}


def behind(site: Site, path: str, **auth: Any) -> Object:
    headers = [{"name": "X-Who", "value": "me"}]
    return {"url": f"{site.url}/{path}", "headers": headers, "auth": {"basicAuth": auth or LOGIN}}


async def test_artifacts_are_got_from_urls_and_put_there(
    installation: Installation, site: Site, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("inside.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
    site.files, site.failing = {"/packed": buffer.getvalue(), "/plain": b"plain"}, 1
    names = ("packed", "plain")
    inputs = [{"name": name, "path": f"{tmp_path}/{name}", "http": behind(site, name)} for name in names]
    inputs.append({"name": "never", "path": f"{tmp_path}/never", "http": behind(site, "no"), "optional": True})
    output = {"name": "o", "path": f"{tmp_path}/o", "http": behind(site, "made"), "archive": {"none": {}}}
    text = f"cd {tmp_path}; test ! -e never; cat packed plain >o"
    write = shell("write", text, inputs={"artifacts": inputs}, outputs={"artifacts": [output]})
    read = shell("read", f"cat {tmp_path}/again", inputs={"artifacts": [{"name": "o", "path": f"{tmp_path}/again"}]})
    given = {"artifacts": [{"name": "o", "from": "{{steps.a.outputs.artifacts.o}}"}]}
    steps = [[{"name": "a", "template": "write"}], [{"name": "b", "template": "read", "arguments": given}]]
    status = await installation.result(workflow("w", {"name": "main", "steps": steps}, write, read))
    assert status["phase"] == "Succeeded", status
    assert site.files["/made"] == b"dataplain"
    assert (tmp_path / "again").read_bytes() == b"dataplain"


@pytest.mark.parametrize(
    ("path", "auth", "says"),
    [
        ("no", LOGIN, "/no does not exist (see that the key is right"),
        ("plain", {"usernameSecret": LOGIN["usernameSecret"]}, "401 Unauthorized (see usernameSecret"),
    ],
)
async def test_a_url_that_answers_no_is_an_error_of_the_node(
    installation: Installation, site: Site, tmp_path: Path, path: str, auth: Object, says: str
) -> None:
    given = {"name": "i", "path": f"{tmp_path}/i", "http": behind(site, path, **auth)}
    status = await installation.result(workflow("w", shell("main", "true", inputs={"artifacts": [given]})))
    assert status["phase"] == "Error"
    assert says in status["message"]


async def test_an_artifact_of_artifactory_is_one_behind_a_url(
    installation: Installation, site: Site, tmp_path: Path
) -> None:
    given = {"name": "i", "path": f"{tmp_path}/i", "artifactory": {"url": f"{site.url}/x", **LOGIN}}
    status = await installation.result(workflow("w", shell("main", "true", inputs={"artifacts": [given]})))
    assert "401 Unauthorized" in status["message"]  # it lacks the header, and so was asked with the password


# --- on a bad day


def refusing(times: int, method: str, code: str = "SlowDown", status: int = 503) -> Any:
    """The first calls of a method are refused."""
    left = [code] * times

    async def answer(request: web.Request) -> web.StreamResponse | None:
        return refused(left.pop(), status) if request.method == method and left else None

    return answer


def one_output(tmp_path: Path, host: str) -> Object:
    where = {"bucket": "flows", "endpoint": host, "insecure": True, "key": "o"}
    keys = {"accessKeySecret": {"name": "keys", "key": "user"}, "secretKeySecret": {"name": "keys", "key": "password"}}
    outputs = [{"name": "o", "path": f"{tmp_path}/o", "s3": where | keys, "archive": {"none": {}}}]
    return shell("main", f"echo made >{tmp_path}/o", outputs={"artifacts": outputs})


async def test_a_bucket_that_is_overloaded_for_a_moment_costs_no_step(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path
) -> None:
    async with s3_front(server.url) as before:
        before.answer = refusing(2, "PUT")
        host = before.url.removeprefix("http://")
        status = await installation.result(workflow("w", one_output(tmp_path, host)))
    assert status["phase"] == "Succeeded", status
    assert content(bucket, "o") == b"made\n"
    assert len([one for one in before.asked if one.startswith("PUT")]) == 3


async def test_what_is_forbidden_is_not_tried_again(
    installation: Installation, server: Aws, bucket: Any, tmp_path: Path
) -> None:
    async with s3_front(server.url) as before:
        before.answer = refusing(9, "PUT", "AccessDenied", 403)
        status = await installation.result(workflow("w", one_output(tmp_path, before.url.removeprefix("http://"))))
    assert status["phase"] == "Error"
    assert "see that the keys of accessKeySecret and secretKeySecret may do this" in status["message"]
    assert len([one for one in before.asked if one.startswith("PUT")]) == 1


async def test_a_transfer_that_the_death_of_the_controller_cut_off_is_made_again(
    server: Aws, bucket: Any, tmp_path: Path
) -> None:
    installation = Installation(memory(), tmp_path / "data")
    await installation.api.create(SECRET)
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PUT":
            arrived.set()
            await gate.wait()
        return None

    installation.player = PodPlayer(installation.api)
    async with s3_front(server.url) as before, installation.player.playing():
        before.answer = answer
        async with installation.controlling():
            await installation.api.create(workflow("w", one_output(tmp_path, before.url.removeprefix("http://"))))
            async with asyncio.timeout(60):
                await arrived.wait()
            found = await installation.get("Workflow", "w")
            assert found["status"]["phase"] == "Running", "not Succeeded before its outputs are stored"
        gate.set()
        async with installation.controlling():
            assert (await installation.ended("w"))["status"]["phase"] == "Succeeded"
    assert content(bucket, "o") == b"made\n"
    assert len(installation.player.started) == 1
