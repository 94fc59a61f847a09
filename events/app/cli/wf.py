"""`keryx wf …`, with their options. Contract: workflows N."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from events.app.cli.guard import guarded, show

app = typer.Typer(
    name="wf",
    help="Workflows: submit, look at, steer and delete them. @latest names the newest.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
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
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Else ARGO_NAMESPACE, else default.")]
Output = Annotated[str, typer.Option("--output", "-o", help="name, json, yaml, wide or short.", callback=_output)]
Parameters = Annotated[list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE")]
Labels = Annotated[str, typer.Option("--labels", "-l", help="NAME=VALUE,…")]
Selector = Annotated[str, typer.Option("--node-field-selector", help="Such as displayName=approve,phase=Running.")]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Until it has ended; exit code 1 unless it succeeded.")]
Watch = Annotated[bool, typer.Option("--watch", help="Draw it until it has ended.")]
Follow = Annotated[bool, typer.Option("--log", help="Print its logs until it has ended.")]
NoUtf8 = Annotated[bool, typer.Option("--no-utf8", help="Words in place of icons.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A")]
Status = Annotated[str, typer.Option(help="Such as Running,Failed.")]
Prefix = Annotated[str, typer.Option(help="Names that begin so.")]
Older = Annotated[str, typer.Option(help="That ended so long ago: 2h, 7d.")]
Since = Annotated[str, typer.Option(help="Created since: 2h, 7d.")]
Chosen = Annotated[str, typer.Option("--selector", "-l", help="A selector of labels.")]


def _common(kubeconfig: Path | None, namespace: str) -> Any:
    from events.app.workflows.commands import Common

    if kubeconfig is None:
        own = Path(".keryx") / "up" / "kubeconfig"  # what `keryx up` writes unless it is told otherwise
        given = os.environ.get("KUBECONFIG")
        kubeconfig = Path(given) if given else own if own.is_file() else None
    return Common(kubeconfig, namespace or os.environ.get("ARGO_NAMESPACE") or "default", show)


def _options(**given: Any) -> list[tuple[str, Any]]:
    return [(name.replace("_", "-"), value) for name, value in given.items() if value not in ("", None)]


def _pairs(text: str) -> dict[str, str]:
    pairs = [one.partition("=") for one in text.split(",") if one]
    if any(not sign for _, sign, _ in pairs):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE,NAME=VALUE")
    return {name: value for name, _, value in pairs}


@app.command("submit")
@guarded
def submit(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE")] = None,
    origin: Annotated[str, typer.Option("--from", help="cronwf/NAME, wftmpl/NAME or cwft/NAME.")] = "",
    parameter: Parameters = None,
    parameter_file: Annotated[Path | None, typer.Option("--parameter-file", "-f", exists=True, dir_okay=False)] = None,
    name: Annotated[str, typer.Option(help="Name of the Workflow.")] = "",
    generate_name: Annotated[str, typer.Option(help="What the name begins with.")] = "",
    entrypoint: Annotated[str, typer.Option(help="The template to begin with.")] = "",
    serviceaccount: Annotated[str, typer.Option(help="The account of the pods.")] = "",
    labels: Labels = "",
    priority: Annotated[int | None, typer.Option(help="Higher ones first.")] = None,
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print it, create nothing.")] = False,
    wait: Wait = False,
    watch: Watch = False,
    log: Follow = False,
) -> int:
    """Create Workflows."""
    from events.app.workflows import commands

    options = commands.parameters(parameter or [], parameter_file)
    options += _options(name=name, generate_name=generate_name, entrypoint=entrypoint, serviceaccount=serviceaccount)
    options += _options(priority=priority, labels=_pairs(labels) or None)
    wanted = commands.Submitting(files or [], origin, options, dry_run, wait, watch, log)
    common = _common(kubeconfig, namespace)
    return commands.run(common, lambda one: commands.submit(one, wanted, commands.Shown(output), show))


@app.command("list")
@guarded
def list_all(
    status: Status = "",
    prefix: Prefix = "",
    since: Since = "",
    older: Older = "",
    selector: Chosen = "",
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    everywhere: Everywhere = False,
    running: Annotated[bool, typer.Option("--running")] = False,
    completed: Annotated[bool, typer.Option("--completed")] = False,
    resubmitted: Annotated[bool, typer.Option("--resubmitted")] = False,
    no_headers: Annotated[bool, typer.Option("--no-headers")] = False,
) -> int:
    """List Workflows: those that run first."""
    from events.app.workflows import commands

    wanted = commands.Filter(everywhere, status, running, completed, resubmitted, prefix, since, older, selector)
    common = _common(kubeconfig, namespace)
    return commands.run(common, lambda one: commands.list_all(one, wanted, output, show, heading=not no_headers))


@app.command("get")
@guarded
def get(
    names: Names,
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    no_utf8: NoUtf8 = False,
) -> int:
    """Show Workflows with the tree of their nodes."""
    from events.app.workflows import commands

    shown = commands.Shown(output, not no_utf8)
    return commands.run(_common(kubeconfig, namespace), lambda one: commands.get(one, names, shown, show))


@app.command("watch")
@guarded
def watch(
    name: Annotated[str, typer.Argument(metavar="WORKFLOW")],
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    no_utf8: NoUtf8 = False,
) -> int:
    """Draw a Workflow until it has ended."""
    from events.app.workflows import commands

    shown = commands.Shown("", not no_utf8)
    return commands.run(_common(kubeconfig, namespace), lambda one: commands.watch(one, name, shown, show))


@app.command("wait")
@guarded
def wait(names: Names, namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
    """Wait until all have ended; exit code 1 unless they succeeded."""
    from events.app.workflows import commands

    return commands.run(_common(kubeconfig, namespace), lambda one: commands.wait(one, names, show))


@app.command("logs")
@guarded
def logs(
    name: Annotated[str, typer.Argument(metavar="WORKFLOW")],
    pod: Annotated[str, typer.Argument(metavar="POD")] = "",
    container: Annotated[str, typer.Option("--container", "-c")] = "main",
    since: Annotated[str, typer.Option(help="Seconds back.")] = "",
    tail: Annotated[int, typer.Option(help="Lines of each pod from the end; -1: all.")] = -1,
    grep: Annotated[str, typer.Option(help="Lines that match this pattern.")] = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f")] = False,
    previous: Annotated[bool, typer.Option("--previous")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps")] = False,
) -> int:
    """Print the logs of a Workflow's pods, in the order of time."""
    from events.app.workflows import commands
    from events.app.workflows import logs as work
    from events.app.workflows.session import Session

    wanted = work.Wanted(container, follow, previous, since, tail, grep, timestamps)

    async def printed(session: Session) -> int:
        await work.show(session, name, pod, wanted, show)
        return 0

    return commands.run(_common(kubeconfig, namespace), printed)


@app.command("delete")
@guarded
def delete(
    names: SomeNames = None,
    status: Status = "",
    prefix: Prefix = "",
    older: Older = "",
    selector: Chosen = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    is_all: Annotated[bool, typer.Option("--all")] = False,
    completed: Annotated[bool, typer.Option("--completed")] = False,
) -> int:
    """Delete Workflows by name, or those that options mean."""
    from events.app.workflows import commands

    by_options = is_all or completed or bool(status or prefix or older or selector)
    wanted = commands.Filter(False, status, False, completed, False, prefix, "", older, selector)  # noqa: FBT003
    return commands.run(
        _common(kubeconfig, namespace),
        lambda one: commands.delete(one, names or [], wanted if by_options else None, show),
    )


@app.command("suspend")
@guarded
def suspend(names: Names, namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
    """Begin no new steps."""
    from events.app.workflows import commands

    return commands.run(
        _common(kubeconfig, namespace), lambda one: commands.each(one, names, one.suspend, "suspended", show)
    )


@app.command("resume")
@guarded
def resume(names: Names, selector: Selector = "", namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
    """Let suspended steps, or suspended Workflows, go on."""
    from events.app.workflows import commands

    return commands.run(
        _common(kubeconfig, namespace),
        lambda one: commands.each(one, names, lambda name: one.resume(name, selector), "resumed", show),
    )


@app.command("stop")
@guarded
def stop(
    names: Names,
    selector: Selector = "",
    message: Annotated[str, typer.Option("--message", "-m", help="Of the nodes that are stopped.")] = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
) -> int:
    """End Workflows; their exit handlers run. With a selector: end suspended steps."""
    from events.app.workflows import commands

    return commands.run(
        _common(kubeconfig, namespace),
        lambda one: commands.each(one, names, lambda name: one.stop(name, selector, message), "stopped", show),
    )


@app.command("terminate")
@guarded
def terminate(names: Names, namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
    """End Workflows at once, without exit handlers."""
    from events.app.workflows import commands

    return commands.run(
        _common(kubeconfig, namespace),
        lambda one: commands.each(one, names, lambda name: one.shut_down(name, "Terminate"), "terminated", show),
    )


@app.command("retry")
@guarded
def retry(
    names: Names,
    selector: Selector = "",
    parameter: Parameters = None,
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    restart_successful: Annotated[bool, typer.Option("--restart-successful")] = False,
    wait: Wait = False,
    watch: Watch = False,
    log: Follow = False,
) -> int:
    """Begin failed Workflows again where they failed."""
    from events import workflow_retry
    from events.app.workflows import commands

    given = dict(value for _, value in commands.parameters(parameter or [], None))
    options = workflow_retry.Options(restart_successful, selector, given)
    wanted = commands.Submitting(waits=wait, watches=watch, logs=log)
    return commands.run(
        _common(kubeconfig, namespace),
        lambda one: commands.retry(one, names, options, wanted, commands.Shown(output), show),
    )


@app.command("resubmit")
@guarded
def resubmit(
    names: Names,
    parameter: Parameters = None,
    priority: Annotated[int | None, typer.Option()] = None,
    labels: Labels = "",
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    memoized: Annotated[bool, typer.Option("--memoized", help="Keep what succeeded.")] = False,
    wait: Wait = False,
    watch: Watch = False,
    log: Follow = False,
) -> int:
    """Create Workflows like these once more."""
    from events.app.workflows import commands

    options = commands.parameters(parameter or [], None)
    options += _options(priority=priority, labels=_pairs(labels) or None)
    wanted = commands.Submitting(options=options, waits=wait, watches=watch, logs=log)
    return commands.run(
        _common(kubeconfig, namespace),
        lambda one: commands.resubmit(one, names, wanted, commands.Shown(output), show, keeps=memoized),
    )


@app.command("lint")
@guarded
def lint(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR")],
    output: Annotated[str, typer.Option("--output", "-o", help="pretty or simple.")] = "pretty",
) -> int:
    """Check files of workflows; exit code 1 when something is wrong."""
    from events.app.workflows import linting

    return linting.lint(paths, output, show)
