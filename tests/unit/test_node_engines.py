"""What the command line of docker or podman is told; `tests/integration/test_node_engines.py` runs it."""

from __future__ import annotations

import pytest

from events.errors import UserError
from events.local.kubelet import engines
from events.local.kubelet.processes import Launch, Mount

MARK = "abc123/uid-1/main/0/"


def test_a_container_is_created_with_the_network_of_the_machine_and_found_by_its_mark() -> None:
    env = {"TEXT": "two\nlines", "PATH": "/image/bin"}
    mounts = [Mount("/v/data", "/data"), Mount("/v/keys", "/keys", read_only=True)]
    launch = Launch(
        ["serve", "--all"],
        env,
        "/work",
        mounts=mounts,
        mark=MARK,
        image="team/app:1",
        has_command=True,
        stdin=True,
        options=["--read-only"],
    )
    words = engines.creation(launch, {"PATH": "/usr/bin"})
    assert words[:2] == ["create", "--rm"]
    assert "--network=host" in words
    assert words[words.index("--name") + 1] == "keryx-abc123-uid-1-main-0"
    assert words[words.index("--label") + 1] == "keryx.node=abc123"
    assert {"--interactive", "--read-only"} <= set(words)
    assert words[words.index("--workdir") + 1] == "/work"
    mounted = [words[index + 1] for index, word in enumerate(words) if word == "--mount"]
    assert mounted == ["type=bind,source=/v/data,target=/data", "type=bind,source=/v/keys,target=/keys,readonly"]
    told = [words[index + 1] for index, word in enumerate(words) if word == "--env"]
    assert told == ["TEXT", "PATH=/image/bin"], (
        "values go through the environment, but for what the command itself needs"
    )
    assert words[-4:] == ["--entrypoint", "serve", "team/app:1", "--all"]


def test_without_a_command_the_image_runs_its_own_with_the_arguments() -> None:
    words = engines.creation(Launch(["--all"], {}, "", mark=MARK, image="team/app", tty=True), {})
    assert words[-2:] == ["team/app", "--all"]
    assert "--entrypoint" not in words
    assert "--workdir" not in words
    assert "--tty" in words


def test_a_security_context_is_followed_as_far_as_engines_can() -> None:
    pod = {"securityContext": {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3}}
    context = {"runAsUser": 0, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}
    assert engines.options(pod, {"securityContext": context}) == [
        *("--user", "0:2000", "--read-only", "--cap-drop=ALL", "--cap-add=NET_ADMIN")
    ]
    assert engines.options(pod, {}) == ["--user", "1000:2000"]
    assert engines.options({}, {"securityContext": {"privileged": True}}) == ["--privileged"]


def test_an_engine_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UserError, match="'rkt' is none of process, docker, podman"):
        engines.found("rkt")
