"""`keryx wf …`, with their options. Contract: workflows N."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from events.app.cli import wf_archive, wf_kinds
from events.app.cli.guard import guarded, note, show
from events.app.cli.wf_options import (
    Chosen,
    Data,
    DryRun,
    Everywhere,
    Follow,
    Kubeconfig,
    Labels,
    Message,
    Names,
    Namespace,
    NoUtf8,
    Older,
    Output,
    Parameters,
    Prefix,
    Selector,
    Since,
    SomeNames,
    Status,
    Wait,
    Watch,
    common,
    options_of,
    pairs,
)

app = typer.Typer(
    name="wf",
    help="Workflows: submit, look at, steer and delete them. @latest names the newest.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
for _kind in wf_kinds.KINDS:
    app.add_typer(wf_kinds.application(_kind), name=_kind.word)
app.add_typer(wf_archive.app, name="archive")
node = typer.Typer(help="Nodes of a Workflow.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(node, name="node")


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
    options += options_of(name=name, generate_name=generate_name, entrypoint=entrypoint, serviceaccount=serviceaccount)
    options += options_of(priority=priority, labels=pairs(labels) or None)
    wanted = commands.Submitting(files or [], origin, options, dry_run, wait, watch, log)
    return commands.run(
        common(kubeconfig, namespace), lambda one: commands.submit(one, wanted, commands.Shown(output), show)
    )


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
    return commands.run(
        common(kubeconfig, namespace), lambda one: commands.list_all(one, wanted, output, show, heading=not no_headers)
    )


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
    return commands.run(common(kubeconfig, namespace), lambda one: commands.get(one, names, shown, show))


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
    return commands.run(common(kubeconfig, namespace), lambda one: commands.watch(one, name, shown, show))


@app.command("wait")
@guarded
def wait(names: Names, namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
    """Wait until all have ended; exit code 1 unless they succeeded."""
    from events.app.workflows import commands

    return commands.run(common(kubeconfig, namespace), lambda one: commands.wait(one, names, show))


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
    data: Data = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f")] = False,
    previous: Annotated[bool, typer.Option("--previous")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps")] = False,
) -> int:
    """Print the logs of a Workflow's pods, in the order of time; of pods that are gone, the archived ones."""
    from events.app.workflows import commands
    from events.app.workflows import logs as work
    from events.app.workflows.session import Session

    wanted = work.Wanted(container, follow, previous, since, tail, grep, timestamps)

    async def printed(session: Session) -> int:
        await work.show(session, name, pod, wanted, show, note)
        return 0

    return commands.run(common(kubeconfig, namespace, data), printed)


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
        common(kubeconfig, namespace),
        lambda one: commands.delete(one, names or [], wanted if by_options else None, show),
    )


@app.command("suspend")
@guarded
def suspend(names: Names, namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
    """Begin no new steps."""
    from events.app.workflows import commands

    return commands.run(
        common(kubeconfig, namespace),
        lambda one: commands.each(one, commands.Several(names), one.suspend, "suspended", show),
    )


@app.command("resume")
@guarded
def resume(
    names: Names,
    selector: Selector = "",
    message: Message = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
) -> int:
    """Let suspended steps, or suspended Workflows, go on."""
    from events.app.workflows import commands

    return commands.run(
        common(kubeconfig, namespace),
        lambda one: commands.each(
            one, commands.Several(names), lambda name: one.resume(name, selector, message), "resumed", show
        ),
    )


@app.command("stop")
@guarded
def stop(
    names: SomeNames = None,
    selector: Selector = "",
    message: Message = "",
    labels: Chosen = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    dry_run: DryRun = False,
) -> int:
    """End Workflows; their exit handlers run. With a node field selector: end suspended steps."""
    from events.app.workflows import commands

    wanted = commands.Several(names or [], labels, dry_run)
    return commands.run(
        common(kubeconfig, namespace),
        lambda one: commands.each(one, wanted, lambda name: one.stop(name, selector, message), "stopped", show),
    )


@app.command("terminate")
@guarded
def terminate(
    names: SomeNames = None,
    labels: Chosen = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    *,
    dry_run: DryRun = False,
) -> int:
    """End Workflows at once, without exit handlers."""
    from events.app.workflows import commands

    wanted = commands.Several(names or [], labels, dry_run)
    return commands.run(
        common(kubeconfig, namespace),
        lambda one: commands.each(one, wanted, lambda name: one.shut_down(name, "Terminate"), "terminated", show),
    )


@app.command("cp")
@guarded
def cp(
    name: Annotated[str, typer.Argument(metavar="WORKFLOW")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False)],
    node_id: Annotated[str, typer.Option(help="Of one node alone.")] = "",
    template_name: Annotated[str, typer.Option(help="Of nodes of this template alone.")] = "",
    artifact_name: Annotated[str, typer.Option(help="Those of this name alone.")] = "",
    path: Annotated[
        str, typer.Option(help="Where they go below DIR; empty: a folder per namespace, workflow, node and name.")
    ] = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    data: Data = None,
) -> int:
    """Copy output artifacts here."""
    from events.app.workflows import commands, copying

    wanted = copying.Wanted(node_id, template_name, artifact_name, path or copying.PATH)
    return commands.run(common(kubeconfig, namespace, data), lambda one: copying.copy(one, name, folder, wanted, show))


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
        common(kubeconfig, namespace),
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
    options += options_of(priority=priority, labels=pairs(labels) or None)
    wanted = commands.Submitting(options=options, waits=wait, watches=watch, logs=log)
    return commands.run(
        common(kubeconfig, namespace),
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


@node.command("set")
@guarded
def set_node(
    name: Annotated[str, typer.Argument(metavar="WORKFLOW")],
    parameter: Parameters = None,
    message: Message = "",
    phase: Annotated[str, typer.Option(help="Of the nodes from now on: Succeeded, Failed, Error or Skipped.")] = "",
    selector: Selector = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
) -> int:
    """Supply outputs of suspended steps, or say how they ended."""
    from events.app.workflows import commands

    given = dict(value for _, value in commands.parameters(parameter or [], None))
    return commands.run(
        common(kubeconfig, namespace),
        lambda one: commands.set_node(one, name, commands.Setting(selector, given, phase, message), show),
    )
