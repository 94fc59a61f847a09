"""What `keryx up` and `keryx status` say of parts, objects and changes: pure, and a display on a text stream."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from events.app.local import health, news, status
from events.app.local.display import Display
from events.app.local.health import Health
from events.app.local.steps import Steps
from events.logs import Log

Object = dict[str, Any]


def pod(phase: str, **status: Any) -> Object:
    labels = status.pop("labels", {})
    metadata = {"name": "p", "namespace": "n", "labels": labels}
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase} | status}


def waiting(reason: str, message: str = "") -> list[Object]:
    return [{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]


def ours(*conditions: tuple[str, str, str], kind: str = "Sensor") -> Object:
    said = [{"type": name, "status": is_so, "message": text} for name, is_so, text in conditions]
    return {"kind": kind, "metadata": {"name": "s", "namespace": "n"}, "status": {"conditions": said}}


def workflow(phase: str, message: str = "") -> Object:
    return {
        "kind": "Workflow",
        "metadata": {"name": "w", "namespace": "n"},
        "status": {"phase": phase, "message": message},
    }


READY = [{"type": "Ready", "status": "True"}]
ENDED = [{"name": "main", "state": {"terminated": {"exitCode": 3}}}]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod("Running", conditions=READY), Health("ready")),
        (pod("Running"), Health("runs", "not ready yet")),
        (pod("Pending"), Health("waits", "it is being started")),
        (pod("Succeeded"), Health("ended")),
        (pod("Failed", containerStatuses=ENDED), Health("failed", "main: exit code 3")),
        (pod("Failed", message="evicted"), Health("failed", "evicted")),
        (pod("Pending", containerStatuses=waiting("ErrImagePull", "no")), Health("waits", "main: ErrImagePull: no")),
        (pod("Pending", containerStatuses=waiting("ContainerCreating")), Health("waits", "it is being started")),
        (workflow("Succeeded"), Health("ended")),
        (workflow("Error", "no such template"), Health("failed", "no such template")),
        (workflow(""), Health("runs")),
        (ours(("Deployed", "True", "")), Health("ready")),
        (ours(("A", "Unknown", "wait"), ("B", "False", "no bus")), Health("waits", "no bus")),
        (ours(), Health("waits", "nobody has looked at it yet")),
    ],
)
def test_an_object_is_told_in_a_word_and_a_reason(obj: Object, expected: Health) -> None:
    assert health.of(obj) == expected


STEP = {"workflows.argoproj.io/workflow": "w"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (pod("Pending"), pod("Running", conditions=READY), ("pod n/p runs", False)),
        (pod("Pending"), pod("Running", conditions=READY, labels=STEP), None),
        (pod("Running"), pod("Failed", containerStatuses=ENDED), ("pod n/p failed: main: exit code 3", True)),
        (None, pod("Pending"), None),
        (
            pod("Pending"),
            pod("Pending", containerStatuses=waiting("ErrImagePull", "no")),
            ("pod n/p waits: main: ErrImagePull: no", True),
        ),
        (
            pod("Pending", containerStatuses=waiting("CrashLoopBackOff", "10 s")),
            pod("Pending", containerStatuses=waiting("CrashLoopBackOff", "20 s")),
            None,
        ),
        (None, workflow(""), ("workflow n/w created", False)),
        (workflow(""), workflow("Running"), None),
        (workflow("Running"), workflow("Succeeded"), ("workflow n/w Succeeded", False)),
        (workflow("Running"), workflow("Failed", "child failed"), ("workflow n/w Failed: child failed", True)),
        (ours(), ours(("Deployed", "True", "")), ("sensor n/s is ready", False)),
        (ours(), ours(("Deployed", "False", "no")), None),
        (
            ours(("Deployed", "True", "")),
            ours(("Deployed", "False", "bus gone")),
            ("sensor n/s is not ready any more: bus gone", True),
        ),
        (pod("Running"), None, None),
    ],
)
def test_a_change_is_a_line_when_somebody_would_want_to_know(
    old: Object | None, new: Object | None, expected: tuple[str, bool] | None
) -> None:
    assert news.told(old, new) == expected


def test_more_news_than_a_screen_can_show_are_counted() -> None:
    said: list[str] = []
    following = news.News(None, lambda text, _bad: said.append(text), Log("test"))  # type: ignore[arg-type]  # never run
    following._is_new = True
    for _ in range(100):
        following._changed(None, workflow(""))
    following._sum_up()
    assert said[:12] == ["workflow n/w created"] * 12
    assert said[12:] == ["… and 88 more"]


TAKEN = (
    "localhost:4222 leads to pod n/q, which was first; localhost:12000 is not to be had: in use;"
    " the pod itself listens on 127.64.0.2"
)


def test_status_counts_and_names_what_needs_a_person() -> None:
    blocked = pod("Running", conditions=[*READY, {"type": "LocalhostPorts", "status": "False", "message": TAKEN}])
    rows = list(
        status.told([ours(("Deployed", "False", "no bus")), blocked, blocked, pod("Failed", message="evicted")])
    )
    assert rows == [
        ("sensors", "1 not ready"),
        ("pods", "2 ready, 1 failed"),
        ("waits", "sensor n/s: no bus"),
        ("failed", "pod n/p: evicted"),
        ("localhost", "4222 leads to pod n/q, which was first; asked for by pod n/p and 1 more"),
        ("localhost", "12000 is not to be had: in use; asked for by pod n/p and 1 more"),
    ]


class Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_parts_are_shown_once_each_in_the_order_in_which_they_are_there() -> None:
    screen = Screen()
    display = Display(screen, {})
    display.parts([("program", 0.5, ""), ("node", None, ""), ("workflows", 0.2, "")])
    assert "node" in screen.getvalue().rpartition("\n")[2], "what is under way is the last line"
    display.parts([("program", 0.5, ""), ("node", 0.3, "as root"), ("workflows", 0.2, "")])
    shown = [line for line in screen.getvalue().split("\n") if "✓" in line]
    assert [line.split()[1] for line in shown] == ["keryx", "workflows", "node"]
    assert "as root" in shown[-1]


def test_nothing_moves_and_nothing_is_coloured_off_a_terminal_and_no_color_is_obeyed() -> None:
    plain, screen = io.StringIO(), Screen()
    Display(plain, {}).parts([("program", 0.5, ""), ("node", None, "")])
    assert "\x1b" not in plain.getvalue()
    assert "node" not in plain.getvalue()
    Display(screen, {"NO_COLOR": "1"}).parts([("program", 0.5, "")])
    assert "\x1b[3" not in screen.getvalue()


def test_the_block_says_where_it_is_and_what_to_do_next() -> None:
    screen = Screen()
    place = Path("/d")
    Display(screen, {"NO_COLOR": "1"}).ready(
        seconds=2.34, url="https://127.0.0.1:1", data=place, kubeconfig=place / "kubeconfig", notes=["no nats-server"]
    )
    for text in (
        "ready in 2.3 s",
        "! no nats-server",
        "https://127.0.0.1:1",
        "export KUBECONFIG=/d/kubeconfig",
        "keryx wf list",
    ):
        assert text in screen.getvalue()


def test_steps_have_times_and_one_that_fails_is_never_there() -> None:
    told: list[int] = []
    steps = Steps()
    steps.tell = lambda: told.append(len(steps.rows))
    with steps.step("one") as step:
        step.detail = "x"
    with pytest.raises(ValueError, match="no"), steps.step("two"):
        raise ValueError("no")
    names = [(name, seconds is not None, detail) for name, seconds, detail in steps.rows]
    assert names == [("program", True, ""), ("one", True, "x"), ("two", False, "")]
    assert told == [2, 2, 3]
