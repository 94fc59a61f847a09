"""Options that the commands of `keryx wf` share. Contract: workflows N."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from events.app.cli.guard import show

OUTPUTS = ("", "name", "json", "yaml", "wide", "short")


def _output(text: str) -> str:
    if text not in OUTPUTS:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(OUTPUTS[1:])}")
    return text


Names = Annotated[list[str], typer.Argument(metavar="WORKFLOW")]
SomeNames = Annotated[list[str] | None, typer.Argument(metavar="WORKFLOW")]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        help="The API server's; else KUBECONFIG, else .keryx/up/kubeconfig, else ~/.kube/config.", dir_okay=False
    ),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Else ARGO_NAMESPACE, else the context's.")]
Output = Annotated[str, typer.Option("--output", "-o", help="name, json, yaml, wide or short.", callback=_output)]
Parameters = Annotated[list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE")]
Labels = Annotated[str, typer.Option("--labels", "-l", help="NAME=VALUE,…")]
Selector = Annotated[str, typer.Option("--node-field-selector", help="Such as displayName=approve,phase=Running.")]
Message = Annotated[str, typer.Option("--message", "-m", help="Of the nodes that are meant.")]
Data = Annotated[
    Path | None, typer.Option(help="The data directory of keryx up; else that of the kubeconfig.", file_okay=False)
]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Until it has ended; exit code 1 unless it succeeded.")]
Watch = Annotated[bool, typer.Option("--watch", help="Draw it until it has ended.")]
Follow = Annotated[bool, typer.Option("--log", help="Print its logs until it has ended.")]
NoUtf8 = Annotated[bool, typer.Option("--no-utf8", help="Words in place of icons.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A")]
Status = Annotated[str, typer.Option(help="Such as Running,Failed.")]
Prefix = Annotated[str, typer.Option(help="Names that begin so.")]
Older = Annotated[str, typer.Option(help="That ended so long ago: 2h, 7d.")]
Since = Annotated[str, typer.Option(help="Created since: 2h, 7d.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which are meant.")]
Chosen = Annotated[str, typer.Option("--selector", "-l", help="A selector of labels.")]


def common(kubeconfig: Path | None, namespace: str, data: Path | None = None) -> Any:
    """What a command is told about where and for whom."""
    from events.app.kubeconfig import find
    from events.app.workflows.commands import Common

    found = find(kubeconfig)
    kubeconfig = Path(found) if found else None
    if data is None and kubeconfig is not None and (kubeconfig.absolute().parent / "workflows").is_dir():
        data = kubeconfig.absolute().parent
    return Common(kubeconfig, namespace or os.environ.get("ARGO_NAMESPACE", ""), show, data)


def options_of(**given: Any) -> list[tuple[str, Any]]:
    """Options as `argo` spells them; those that were not given are left out."""
    return [(name.replace("_", "-"), value) for name, value in given.items() if value not in ("", None)]


def pairs(text: str) -> dict[str, str]:
    """`NAME=VALUE,NAME=VALUE`."""
    pairs = [one.partition("=") for one in text.split(",") if one]
    if any(not sign for _, sign, _ in pairs):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE,NAME=VALUE")
    return {name: value for name, _, value in pairs}
