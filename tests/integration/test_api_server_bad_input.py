"""Whatever is sent to the API server gets a Status that says what is wrong, never a 5xx, and the server lives on."""

from __future__ import annotations

import asyncio
import io
import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.api_server import ApiServer
from yarl import URL

MAPS = "/api/v1/namespaces/default/configmaps"
JSON, YAML = "application/json", "application/yaml"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8)
)
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.bad.example.com"},
    "spec": {
        "group": "bad.example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"},
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"n": {"type": "integer"}, "a": {"type": "string", "default": "x"}},
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


class Served:
    """One server for all tests of this module, and a loop to talk to it."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = ApiServer(directory)

    async def start(self) -> None:
        await self.server.start()
        self.context = self.server.client()
        self.client = await self.context.__aenter__()
        for path, it in (
            (MAPS, {"metadata": {"name": "there"}, "data": {"k": "v"}}),
            ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS),
        ):
            async with self.client.post(path, json=it) as answer:
                assert answer.status == 201, await answer.text()
        await asyncio.sleep(0.3)

    async def stop(self) -> None:
        await self.context.__aexit__(None, None, None)
        assert await self.server.stop() == 0

    def ask(
        self, method: str, path: str, body: bytes = b"", content_type: str = JSON, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        return self.loop.run_until_complete(self._ask(method, path, body, content_type, headers))

    async def _ask(
        self, method: str, path: str, body: bytes, content_type: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        url = URL(self.server.url + path, encoded=True)
        sent = {"Content-Type": content_type, **headers}
        timeout = aiohttp.ClientTimeout(20)
        async with self.client.request(
            method, url, data=io.BytesIO(body), headers=sent, timeout=timeout, allow_redirects=False
        ) as answer:
            text = await answer.read()
            try:
                found = json.loads(text)
            except ValueError:
                found = {}
            return answer.status, found if isinstance(found, dict) else {}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    it = Served(tmp_path_factory.mktemp("api"))
    it.loop.run_until_complete(it.start())
    yield it
    it.loop.run_until_complete(it.stop())
    it.loop.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "code", "reason"),
    [
        ("POST", MAPS, b"{", JSON, 400, "BadRequest"),
        ("POST", MAPS, b"\xff\xfe", JSON, 400, "BadRequest"),
        ("POST", MAPS, b"[" * 100_000, JSON, 400, "BadRequest"),
        ("POST", MAPS, b'{"a":' * 100_000, JSON, 400, "BadRequest"),
        ("POST", MAPS, BOMB.encode(), YAML, 400, "BadRequest"),
        ("POST", MAPS, b"[" * 100_000, YAML, 400, "BadRequest"),
        ("POST", MAPS, b'{"metadata":{"name":"\\ud800"}}', JSON, 400, "BadRequest"),
        ("POST", MAPS, b'metadata: {name: "\\ud800"}', YAML, 400, "BadRequest"),
        ("POST", MAPS, b"x" * (3 * 1024 * 1024 + 1), JSON, 413, "RequestEntityTooLarge"),
        ("POST", MAPS, b"k8s\0nonsense", "application/vnd.kubernetes.protobuf", 400, "BadRequest"),
        ("POST", MAPS, b"{}", "text/plain", 415, "UnsupportedMediaType"),
        ("POST", MAPS, b'{"metadata":{"name":"../../etc/passwd"}}', JSON, 422, "Invalid"),
        ("POST", MAPS, b'{"metadata":{"name":"a","namespace":"other"}}', JSON, 400, "BadRequest"),
        ("POST", MAPS, b'{"kind":7}', JSON, 400, "BadRequest"),
        ("PUT", f"{MAPS}/there", b'{"metadata":{"name":"there","uid":"foreign"}}', JSON, 409, "Conflict"),
        ("PUT", f"{MAPS}/there", b'{"metadata":{"name":"there","resourceVersion":"x"}}', JSON, 400, "BadRequest"),
        ("PATCH", f"{MAPS}/there", b"{}", JSON, 415, "UnsupportedMediaType"),
        ("PATCH", f"{MAPS}/there", b"[1]", "application/json-patch+json", 400, "BadRequest"),
        ("PATCH", f"{MAPS}/there", BOMB.encode(), "application/apply-patch+yaml", 422, "Invalid"),
        ("DELETE", f"{MAPS}/there", b'{"preconditions":{"uid":"foreign"}}', JSON, 409, "Conflict"),
        ("DELETE", f"{MAPS}/there", b'{"gracePeriodSeconds":"soon"}', JSON, 400, "BadRequest"),
        ("GET", "/api/v1/namespaces/default/configmaps/..%2f..%2fsecrets", b"", JSON, 404, "NotFound"),
        ("GET", "/api/v1/namespaces/%2e%2e/configmaps/a", b"", JSON, 404, "NotFound"),
        ("GET", f"{MAPS}?labelSelector=%28", b"", JSON, 400, "BadRequest"),
        ("GET", f"{MAPS}?limit=many", b"", JSON, 400, "BadRequest"),
        ("GET", f"{MAPS}?continue=%F0", b"", JSON, 400, "BadRequest"),
        ("GET", f"{MAPS}?resourceVersion=1&resourceVersionMatch=Exact", b"", JSON, 410, "Expired"),
        ("GET", "/apis/nowhere.example.com/v1/things", b"", JSON, 404, None),
        ("GET", "/apis/apps/v9/deployments", b"", JSON, 404, "NotFound"),
        ("TRACE", MAPS, b"", JSON, 405, "MethodNotAllowed"),
    ],
)
def test_bad_input_is_told(
    served: Served, method: str, path: str, body: bytes, kind: str, code: int, reason: str | None
) -> None:
    status, found = served.ask(method, path, body, kind)
    assert (status, found.get("reason")) == (code, reason), found
    if reason:
        assert found["kind"] == "Status"
        assert found["code"] == code
        assert found["message"]
    assert served.ask("GET", f"{MAPS}/there")[0] == 200


def test_a_body_of_100_mb_is_refused_before_it_is_read(served: Served) -> None:
    async def send() -> int:
        async def body() -> Any:
            for _ in range(100):
                yield b"x" * (1 << 20)

        try:
            async with served.client.post(MAPS, data=body(), headers={"Content-Type": JSON}) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError):  # the server hangs up while the rest is still being sent
            return 413

    assert served.loop.run_until_complete(send()) == 413
    process = served.server.process.process
    assert process is not None
    resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096
    assert resident < 250 << 20


NAMES = st.sampled_from(["a", "there", "w", "x" * 300, "A_b", "%00", "%C3%A4", "a:b", "..", ""])
PATHS = st.one_of(
    st.builds("/api/v1/namespaces/default/{}/{}".format, st.sampled_from(["configmaps", "pods", "secrets"]), NAMES),
    st.builds(
        "/apis/bad.example.com/v1/namespaces/default/widgets/{}{}".format,
        NAMES,
        st.sampled_from(["", "/status", "/scale", "/nope"]),
    ),
    st.builds("/api/v1/namespaces/{}{}".format, NAMES, st.sampled_from(["", "/finalize", "/status", "/pods"])),
    st.builds("/apis/apps/v1/namespaces/default/deployments/{}{}".format, NAMES, st.sampled_from(["", "/scale"])),
    st.builds("/{}".format, st.text(string.ascii_lowercase + "/%20.", max_size=30)),
)
QUERIES = st.sampled_from(
    [
        "",
        "dryRun=All",
        "watch=1&timeoutSeconds=1&resourceVersion=99999",
        "limit=1",
        "limit=-1",
        "labelSelector=a%20in%20(",
        "fieldSelector=metadata.name%3Da",
        "fieldManager=m&force=true",
        "fieldManager=%00",
        "fieldValidation=Strict",
        "resourceVersion=0&resourceVersionMatch=NotOlderThan",
        "continue=eyJ2IjoibWV0YSJ9",
        "pretty=1",
        "propagationPolicy=Foreground",
        "gracePeriodSeconds=-5",
    ]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=8)
)
KEYS = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "data",
        "status",
        "name",
        "labels",
        "replicas",
        "template",
        "n",
        "$patch",
    ]
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
OBJECTS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"metadata": st.fixed_dictionaries({"name": NAMES})}, optional={"data": VALUES, "spec": VALUES}
    ),
    st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"])},
            optional={
                "path": st.sampled_from(["/data/k", "/metadata", "/spec/n", "", "/a/0", "/metadata/finalizers/-"]),
                "from": st.sampled_from(["/data", "", "/metadata/name"]),
                "value": VALUES,
            },
        ),
        max_size=3,
    ),
)
TYPES = st.sampled_from(
    [
        JSON,
        YAML,
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/vnd.kubernetes.protobuf",
        "",
    ]
)
ACCEPTS = st.sampled_from(
    [
        JSON,
        YAML,
        "*/*",
        "text/html",
        f"{JSON};as=Table;v=v1;g=meta.k8s.io",
        f"{JSON};as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    ]
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    path=PATHS,
    query=QUERIES,
    body=OBJECTS,
    kind=TYPES,
    accept=ACCEPTS,
)
def test_nothing_is_a_fault_of_the_server(
    served: Served, method: str, path: str, query: str, body: Any, kind: str, accept: str
) -> None:
    text = b"" if method == "GET" else json.dumps(body).encode()
    status, found = served.ask(method, f"{path}?{query}", text, kind, Accept=accept)
    assert status < 500 or status in (501, 503, 504), (status, found)
