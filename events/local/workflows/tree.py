"""The nodes of a Workflow as `keryx wf get` draws them. Contract: workflows N.1."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from events.local.workflows import names, phases, variables

Node = Mapping[str, Any]
ICONS: Mapping[str, str] = {
    phases.PENDING: "◷",
    phases.RUNNING: "●",
    phases.SUCCEEDED: "✔",
    phases.SKIPPED: "○",
    phases.FAILED: "✖",
    phases.ERROR: "⚠",
}
SUSPENDED = "ǁ"
_GAP = 2
_ITEM = re.compile(r"\((\d+)")


@dataclass(frozen=True)
class Style:
    """`output` is empty, wide or short; without `utf8` words stand for icons."""

    output: str = ""
    utf8: bool = True
    color: bool = False


def drawn(workflow: Mapping[str, Any], now: datetime, style: Style = Style()) -> str:
    """The table from its heading on."""
    drawing = _Drawing(workflow, now, style)
    heading = ["STEP", "TEMPLATE", "PODNAME", "DURATION"]
    if style.output == "wide":
        heading += ["ARTIFACTS", "MESSAGE", "RESOURCESDURATION", "NODENAME"]
    elif style.output == "short":
        heading += ["MESSAGE", "NODENAME"]
    else:
        heading.append("MESSAGE")
    return table([heading, *drawing.rows(len(heading) if style.output else len(heading) + 1)])


def table(rows: Sequence[Sequence[str]], gap: int = _GAP) -> str:
    """Rows under each other. The last cell of each row stands where it stands; the others make columns."""
    widths: list[int] = []
    for row in rows:
        widths += [0] * (len(row) - 1 - len(widths))
        for index, cell in enumerate(row[:-1]):
            widths[index] = max(widths[index], len(cell))
    return "".join(
        "".join(cell.ljust(width + gap) for cell, width in zip(row[:-1], widths, strict=False)) + f"{row[-1]}\n"
        for row in rows
    )


class _Drawing:
    """One Workflow."""

    def __init__(self, workflow: Mapping[str, Any], now: datetime, style: Style) -> None:
        self._workflow, self._now, self._style = workflow, now, style
        self._nodes: Mapping[str, Node] = (workflow.get("status") or {}).get("nodes") or {}
        self._name = workflow["metadata"]["name"]

    def rows(self, width: int) -> Iterator[list[str]]:
        root = self._nodes.get(self._name)
        if root is not None:
            yield from self._below(root, " ", " ")
        last = self._nodes.get(names.node_id(self._name, f"{self._name}.onExit"))
        if last is not None:
            yield [""] * width
            yield from self._below(last, " ", " ")

    def _below(self, node: Node, prefix: str, indent: str) -> Iterator[list[str]]:
        """A node and what is drawn under it; `indent` is what its children begin with."""
        while node.get("type") == "Retry" and len(self._children(node)) == 1:
            node = self._children(node)[0]
        if node.get("phase") == phases.OMITTED:
            return
        yield self._row(node, prefix)
        if node.get("type") in ("Steps", "DAG", "TaskGroup"):
            yield from self._inside(node, indent)
        else:
            own = [one for one in self._children(node) if self._is_own(node, one)]
            for index, child in enumerate(own):
                is_last = index == len(own) - 1
                yield from self._below(
                    child, indent + ("└─" if is_last else "├─"), indent + ("  " if is_last else "│ ")
                )

    def _is_own(self, node: Node, child: Node) -> bool:
        """Attempts of a Retry and containers of a pod are drawn below; what comes next is not."""
        if node.get("type") == "Retry":
            return True
        return child.get("type") == "Container" and child.get("boundaryID") == node["id"]

    def _inside(self, node: Node, indent: str) -> Iterator[list[str]]:
        """The groups or tasks whose boundary a node is."""
        inner = [one for one in self._nodes.values() if self._boundary(one) == node["id"] and self._is_shown(one)]
        groups = sorted((one for one in inner if one.get("type") == "StepGroup"), key=_group_index)
        if groups:
            grouped = {child for group in groups for child in group.get("children") or ()}
            rest = sorted((one for one in inner if one not in groups and one["id"] not in grouped), key=_order)
            parts: list[Node] = [*groups, *rest]
        else:
            parts = sorted(inner, key=_order)
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            connector, below = ("└─", "  ") if is_last else ("├─", "│ ")
            if part.get("type") == "StepGroup":
                yield from self._group(part, indent + connector, indent + below)
            else:
                yield from self._below(part, indent + connector, indent + below)

    def _boundary(self, node: Node) -> str:
        return str(node.get("boundaryID", ""))

    def _is_shown(self, node: Node) -> bool:
        if node.get("type") in ("TaskGroup", "Container"):
            return False
        return not (node.get("nodeFlag") or {}).get("retried")

    def _group(self, group: Node, prefix: str, indent: str) -> Iterator[list[str]]:
        """The steps of a group, which has no row of its own."""
        children = sorted(self._children(group), key=_order)
        for index, child in enumerate(children):
            is_last = index == len(children) - 1
            if len(children) == 1:
                connector = prefix + "──"
            elif index == 0:
                connector = prefix + "┬─"
            else:
                connector = indent + ("└─" if is_last else "├─")
            below = indent + ("  " if is_last else "│ ")
            yield from self._below(child, connector, below)

    def _children(self, node: Node) -> list[Node]:
        return [self._nodes[one] for one in node.get("children") or () if one in self._nodes]

    def _row(self, node: Node, prefix: str) -> list[str]:
        reference = node.get("templateRef") or {}
        template = f"{reference['name']}/{reference['template']}" if reference else str(node.get("templateName", ""))
        message, host = str(node.get("message", "")), str(node.get("hostNodeName", ""))
        is_pod = node.get("type") == "Pod"
        pod = names.pod_of(dict(self._workflow), dict(node)) if is_pod else ""
        row = [f"{prefix}{self.icon(node)} {node.get('displayName', '')}", template, pod, self._duration(node, is_pod)]
        if self._style.output == "wide":
            return [*row, self._artifacts(node), message, self._resources(node), host if is_pod else ""]
        if self._style.output == "short":
            return [*row, message, host if is_pod else ""]
        return [*row, message, ""]

    def icon(self, node: Node) -> str:
        if not self._style.utf8:
            return str(node.get("phase", ""))
        if phases.is_active_suspend(dict(node)):
            return SUSPENDED
        return ICONS.get(str(node.get("phase", "")), "")

    def _duration(self, node: Node, is_pod: bool) -> str:  # noqa: FBT001
        if not is_pod or not node.get("startedAt"):
            return ""
        ends = variables.parsed(node["finishedAt"]) if node.get("finishedAt") else self._now
        return short_duration(ends - variables.parsed(node["startedAt"]))

    @staticmethod
    def _artifacts(node: Node) -> str:
        return ",".join(one["name"] for one in (node.get("outputs") or {}).get("artifacts") or ())

    @staticmethod
    def _resources(node: Node) -> str:
        used = node.get("resourcesDuration") or {}
        return ",".join(f"{seconds}s*{name}" for name, seconds in sorted(used.items()))


def _group_index(node: Node) -> int:
    return int(str(node.get("displayName", "[0]")).strip("[]") or 0)


def _order(node: Node) -> tuple[str, int, str]:
    found = _ITEM.search(str(node.get("name", "")))
    return str(node.get("startedAt", "")), int(found[1]) if found else 0, str(node.get("name", ""))


def short_duration(passed: timedelta) -> str:
    """`3s`, `2m`, `1h`, `2d`: whole units, cut."""
    seconds = max(0, int(passed.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
