"""The tables of what stands in for images: the one that comes with us, and a user's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from events.app.local import images, own_images
from events.errors import UserError
from events.local.kubelet.images import Chosen, Images, PullError, check_program


@pytest.fixture
def known(tmp_path: Path) -> Images:
    return Images(images.table(), tmp_path / "programs")


def ran(chosen: Chosen, *more: str, stdin: str = "") -> str:
    """What it says, as a container would run it."""
    path = f"{chosen.folder}:/usr/bin:/bin"
    program = shutil.which(chosen.argv[0], path=path)
    assert program is not None
    done = subprocess.run(
        [program, *chosen.argv[1:], *more], env={"PATH": path}, input=stdin, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("image", "argv"),
    [
        ("busybox", ["sh"]),
        ("docker.io/library/busybox:1.36", ["sh"]),
        ("alpine:3.20", ["sh"]),
        ("registry.example/mirror/alpine@sha256:0", ["sh"]),
        ("bash:5", ["bash"]),
        ("debian:12", ["bash"]),
        ("python:3.12-slim", ["python3"]),
        ("docker/whalesay:latest", ["cowsay"]),
        ("argoproj/argosay:v2", ["argosay"]),
        ("curlimages/curl:8.8.0", ["curl"]),
        ("nats:2.10", ["nats-server"]),
        ("quay.io/argoproj/argo-events:v1.9.6", ["keryx"]),
        ("keryx:latest", ["keryx"]),
        ("natsio/nats-server-config-reloader:0.15.0", ["nats-server-config-reloader"]),
        ("natsio/prometheus-nats-exporter:0.15.0", ["prometheus-nats-exporter"]),
    ],
)
def test_images_run_their_own_command_when_the_container_names_none(known: Images, image: str, argv: list[str]) -> None:
    assert known.choose({"image": image}).argv == argv


@pytest.mark.parametrize("image", ["nginx", "nginx:1.27", "redis:7", "golang:1.24", "acme/python-app"])
def test_an_image_that_nobody_knows_is_refused_with_the_reason_and_the_cure(known: Images, image: str) -> None:
    with pytest.raises(PullError) as caught:
        known.choose({"image": image, "args": ["x"]})
    assert str(caught.value).startswith(f'nothing on this machine stands in for the image "{image}"')
    assert "give the container a command" in str(caught.value)
    assert "`keryx up --images FILE`" in str(caught.value)


def test_what_the_machine_lacks_is_told_when_it_is_the_images_own_command(known: Images) -> None:
    with pytest.raises(PullError, match=r'"curl" of this machine stands in .* and is not here: install it'):
        check_program(known.choose({"image": "curlimages/curl"}), "curlimages/curl", "/nowhere")
    check_program(known.choose({"image": "curlimages/curl", "command": ["absent"]}), "curlimages/curl", "/nowhere")


def test_images_have_their_programs(known: Images) -> None:
    assert ran(known.choose({"image": "busybox", "command": ["busybox", "echo", "a b"]})) == "a b\n"
    assert ran(known.choose({"image": "alpine", "command": ["ash", "-c", "echo $0 b"], "args": ["a"]})) == "a b\n"
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        assert ran(known.choose({"image": "python", "command": [name, "-c", "print(6 * 7)"]})) == "42\n"
    assert "< moo >" in ran(known.choose({"image": "docker/whalesay", "command": ["/usr/games/cowsay", "moo"]}))
    assert ran(known.choose({"image": "argoproj/argosay", "args": ["echo", "said"]})) == "said\n"
    assert ran(known.choose({"image": "nats", "args": ["--version"]})).startswith("nats-server: v")
    assert ran(known.choose({"image": "keryx", "args": ["version"]}))


OWN = """
team/app: [./app.py, 8080]
registry.example/*/worker:v2:
  command: [python3, -m, worker]
  args: [--all]
  env: {MODE: local, DEBUG: true}
  programs: {work: [../bin/work, now]}
busybox: [echo, mine]
"""


def test_a_users_own_table_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "tables" / "images.yaml"
    file.parent.mkdir()
    file.write_text(OWN)
    known = Images([*own_images.read(file), *images.table()], tmp_path / "programs")
    app = known.choose({"image": "team/app:3", "args": ["--fast"]})
    assert app.argv == [str(tmp_path / "tables" / "app.py"), "8080", "--fast"]
    worker = known.choose({"image": "registry.example/a/worker:v2"})
    assert (worker.argv, worker.env) == (["python3", "-m", "worker", "--all"], {"MODE": "local", "DEBUG": "true"})
    given = known.choose({"image": "registry.example/a/worker:v2", "command": ["/opt/work"]})
    assert Path(given.argv[0]).read_text() == f"#!/bin/sh\nexec '{tmp_path}/bin/work' 'now' \"$@\"\n"
    with pytest.raises(PullError):
        known.choose({"image": "registry.example/a/worker:v1"})
    assert known.choose({"image": "busybox"}).argv == ["echo", "mine"]
    file.write_text("{}")
    assert own_images.read(file) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- team/app", "is no table of images"),
        ("team/app: 3", "team/app: is neither a command nor a row"),
        ("team/app: {}", "team/app.command: is required"),
        ("team/app: {comand: [x]}", "team/app.comand: is not known"),
        ("team/app: {command: x}", "team/app.command: is no list of words"),
        ("team/app: [[x]]", "team/app.command: is no list of words"),
        ("team/app: {command: [x], args: {a: b}}", "team/app.args: is no list of words"),
        ("team/app: {command: [x], env: [A=b]}", "team/app.env: is no table"),
        ("team/app: {command: [x], env: {A: [b]}}", "team/app.env: is no table of texts"),
        ("team/app: {programs: {a/b: [x]}}", "team/app.programs.a/b: is no program"),
        ("team/app: {programs: {a: []}}", "team/app.programs.a: is no program"),
        ('"": [x]', "is no image"),
        ("a: [", "images.yaml"),
    ],
)
def test_a_mistake_in_it_is_told_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        own_images.read(file)
    assert says in str(caught.value), str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        own_images.read(tmp_path / "absent.yaml")
