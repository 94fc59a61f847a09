"""Kubeconfig files that are plain are read without the library; all others are left to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from events.kube import kubeconfig


def config(user: dict[str, Any], name: str = "here", **cluster: Any) -> str:
    return yaml.safe_dump(
        {
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": "c", "user": "u", "namespace": f"of-{name}"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://h:1/", **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
    )


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_token_is_plain(tmp_path: Path) -> None:
    where = write(tmp_path / "a", config({"token": "t"}, **{"tls-server-name": "n"}))
    found = kubeconfig.plain(where, None)
    assert found is not None
    assert (found.server, found.server_name, found.headers()) == ("https://h:1", "n", {"authorization": "Bearer t"})
    (tmp_path / "token").write_text("of a file\n")
    found = kubeconfig.plain(write(tmp_path / "a", config({"tokenFile": "token"})), None)
    assert found is not None, "named as seen from the kubeconfig"
    assert found.headers()["authorization"] == "Bearer of a file"


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"exec": {"command": "x"}}, {}),
        ({"auth-provider": {"name": "oidc"}}, {}),
        ({"username": "a", "password": "b"}, {}),
        ({}, {"proxy-url": "http://p"}),
        ({}, {"certificate-authority": "/nowhere"}),
        ({}, {"certificate-authority-data": "%%"}),
        ({"client-certificate-data": "YQ==", "client-key-data": "YQ=="}, {}),
        ({"tokenFile": "/nowhere"}, {}),
        ({}, {"server": 5}),
    ],
)
def test_everything_else_is_left_to_the_library(tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any]) -> None:
    assert kubeconfig.plain(write(tmp_path / "a", config(user, **cluster)), None) is None


@pytest.mark.parametrize("text", ["", "hello", "a: [b", "{}", "{current-context: x, contexts: [5]}"])
def test_a_file_that_is_none_is_left_to_the_library(tmp_path: Path, text: str) -> None:
    where = write(tmp_path / "a", text)
    assert kubeconfig.plain(where, None) is None
    assert kubeconfig.namespace(where, None) == ""


def test_of_several_files_what_stands_first_counts(tmp_path: Path) -> None:
    first = write(tmp_path / "a", config({"token": "first"}, "one"))
    second = write(tmp_path / "b", config({"token": "second"}, "two"))
    where = os.pathsep.join((str(tmp_path / "none"), first, second))
    assert kubeconfig.namespace(where, None) == "of-one"
    assert kubeconfig.namespace(where, "two") == "of-two"
    assert kubeconfig.namespace(where, "three") == ""
    found = kubeconfig.plain(where, "two")
    assert found is not None
    assert found.headers()["authorization"] == "Bearer first"
