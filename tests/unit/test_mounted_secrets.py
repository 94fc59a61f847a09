"""A Secret that is rotated under a running process, exchanged as a kubelet does it."""

from __future__ import annotations

from pathlib import Path

from support.pods import project

from events.credentials import ConfigMapRef, Credentials, SecretRef


def test_a_rotated_secret_is_read_without_a_restart(tmp_path: Path) -> None:
    credentials, ref = Credentials((tmp_path,)), SecretRef(name="s", key="k")
    for number in range(20):
        project(tmp_path / "secrets" / "s", {"k": b"value %02d\n" % number})
        assert credentials.value(ref) == f"value {number:02}"
        assert credentials.value(ref) == f"value {number:02}"


def test_a_rotated_config_map_too(tmp_path: Path) -> None:
    credentials, ref = Credentials((tmp_path,)), ConfigMapRef(name="c", key="k")
    for text in (b"one", b"two"):
        project(tmp_path / "config" / "c", {"k": text})
        assert credentials.value(ref) == text.decode()
