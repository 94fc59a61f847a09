"""Bodies in protobuf: those that kubectl 1.33 sent, and hostile ones."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.local.apiserver import protobuf
from events.local.apiserver.status import StatusError

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "support" / "kubectl_bodies.json").read_text())
MAGIC = b"k8s\0"


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    head = field(1, field(1, api_version.encode()) + field(2, kind.encode()))
    return MAGIC + head + field(2, raw) + field(3, b"") + field(4, b"")


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['object']['kind']}-{len(case['body'])}")
def test_what_kubectl_sends_is_the_object_it_means(case: dict[str, Any]) -> None:
    assert protobuf.decode(bytes.fromhex(case["body"])) == case["object"]


def test_a_field_nobody_knows_is_skipped() -> None:
    raw = field(1, field(1, b"a")) + field(999, b"later") + varint(998 << 3) + b"\x05" + varint(997 << 3 | 5) + b"1234"
    assert protobuf.decode(body("v1", "ConfigMap", raw))["metadata"] == {"name": "a"}


def test_zero_is_kept_where_it_was_meant_and_left_out_where_it_means_nothing() -> None:
    spec = b"\x08\x00" + varint(5 << 3) + b"\x00" + varint(6 << 3) + b"\x00"  # replicas, minReadySeconds, history
    decoded = protobuf.decode(body("apps/v1", "Deployment", field(2, spec)))
    assert decoded["spec"] == {"replicas": 0, "revisionHistoryLimit": 0}


def test_options_have_no_group_of_their_own() -> None:
    raw = b"\x08\x00" + field(4, b"Foreground")
    expected = {"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": 0}
    assert protobuf.decode(body("apps/v1", "DeleteOptions", raw)) == expected | {"propagationPolicy": "Foreground"}


def test_times_numbers_and_bytes_get_their_form() -> None:
    lease = field(2, field(1, b"me") + field(4, varint(1 << 3) + varint(1700000000) + varint(2 << 3) + varint(5000)))
    assert protobuf.decode(body("coordination.k8s.io/v1", "Lease", lease))["spec"] == {
        "holderIdentity": "me",
        "renewTime": "2023-11-14T22:13:20.000005Z",
    }
    assert protobuf.decode(body("v1", "Secret", field(2, field(1, b"k") + field(2, b"\xff"))))["data"] == {"k": "/w=="}


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (b"", 400),
        (b"{}", 400),
        (MAGIC, 400),
        (MAGIC + b"\x0a\xff\xff\xff\xff\x0f", 400),
        (MAGIC + b"\xff" * 30, 400),
        (body("v1", "ConfigMap", b"\x0b"), 400),
        (body("v1", "ConfigMap", b"\x08\x01"), 400),
        (body("v1", "ConfigMap", field(1, field(1, b"\xff\xfe"))), 400),
        (body("v1", "Nothing", b""), 415),
        (body("argoproj.io/v1alpha1", "Sensor", b""), 415),
        (body("coordination.k8s.io/v1", "Lease", field(2, field(4, varint(1 << 3) + varint(1 << 62)))), 400),
    ],
)
def test_what_is_no_such_object_is_refused(broken: bytes, code: int) -> None:
    with pytest.raises(StatusError) as refused:
        protobuf.decode(broken)
    assert refused.value.code == code


def test_depth_and_the_number_of_fields_are_bounded() -> None:
    nested = b""
    for _ in range(5_000):
        nested = field(28, nested)  # `not` of a schema
    deep = field(2, field(7, field(4, field(1, nested))))
    with pytest.raises(StatusError, match="nested too deeply"):
        protobuf.decode(body("apiextensions.k8s.io/v1", "CustomResourceDefinition", deep))
    started = time.perf_counter()
    with pytest.raises(StatusError, match="too many fields"):
        protobuf.decode(body("v1", "Pod", field(2, field(2, b"") * 1_000_000)))
    assert time.perf_counter() - started < 20


@given(st.binary(max_size=200), st.sampled_from(["Pod", "ConfigMap", "Service"]))
def test_nothing_but_a_refusal_comes_of_noise(raw: bytes, kind: str) -> None:
    decoded: dict[str, Any] = {}
    with suppress(StatusError):
        decoded = protobuf.decode(body("v1", kind, raw))
    json.dumps(decoded)
