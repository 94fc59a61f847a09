"""A real podman with an image that is made here, for tests of real containers. Skips with the reason without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

IMAGE = "localhost/keryx-test:1"
_APPLETS = (
    "sh",
    "sleep",
    "cat",
    "echo",
    "env",
    "touch",
    "id",
    "wc",
    "test",
    "ls",
    "nc",
    "httpd",
    "mkdir",
    "tee",
    "mkfifo",
)
_CONTAINERS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
{runtime}
"""
_STORAGE = """[storage]
driver = "vfs"
graphroot = "{folder}/root"
runroot = "{folder}/run"
"""


def podman(folder: Path) -> dict[str, str]:
    """The variables that lead to a podman of the test's own; its storage is in `folder`, and has `IMAGE`."""
    program, busybox = shutil.which("podman"), shutil.which("busybox")
    if program is None:
        pytest.skip("no podman on this machine")
    if busybox is None or b"not a dynamic executable" not in _said("ldd", busybox):
        pytest.skip("no static busybox to make an image of")
    folder.mkdir(parents=True, exist_ok=True)
    runtime = 'runtime = "runc"' if shutil.which("runc", path="/usr/sbin:/usr/bin:/sbin:/bin") else ""
    (folder / "containers.conf").write_text(_CONTAINERS.format(runtime=runtime))
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
    own = {
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
    }
    tree = folder / "image"
    for name in ("bin", "tmp", "etc"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, tree / "bin" / "busybox")
    for name in _APPLETS:
        (tree / "bin" / name).symlink_to("busybox")
    with tarfile.open(folder / "image.tar", "w") as tar:
        tar.add(tree, arcname=".")
    env = os.environ | own
    for words in (
        ["import", str(folder / "image.tar"), IMAGE],
        ["run", "--rm", "--network=host", IMAGE, "/bin/sh", "-c", ":"],
    ):
        done = subprocess.run([program, *words], env=env, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            pytest.skip(f"podman runs no containers here: {done.stderr.strip()[-300:]}")
    return own


def _said(*command: str) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    return done.stdout + done.stderr
