"""`keryx wf archive …`, with their options. Contract: workflows K.5, N."""

from __future__ import annotations

from typing import Annotated

import typer

from events.app.cli.guard import guarded, show
from events.app.cli.wf_options import (
    Data,
    Everywhere,
    Follow,
    Kubeconfig,
    Labels,
    Namespace,
    NoUtf8,
    Output,
    Parameters,
    Selector,
    Wait,
    Watch,
    common,
    options_of,
    pairs,
)

app = typer.Typer(
    help="Workflows that have finished, also those that were deleted.", no_args_is_help=True, rich_markup_mode=None
)
Uids = Annotated[list[str], typer.Argument(metavar="UID|NAME")]


@app.command("list")
@guarded
def list_all(
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    data: Data = None,
    most: Annotated[int, typer.Option("--limit", help="The last ones.")] = 500,
    *,
    everywhere: Everywhere = False,
) -> int:
    """List them, the last that finished first."""
    from events.app.workflows import archived, commands

    return commands.run(
        common(kubeconfig, namespace, data),
        lambda one: archived.list_all(one, everywhere=everywhere, most=most, output=output, say=show),
    )


@app.command("get")
@guarded
def get(
    names: Uids,
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    data: Data = None,
    *,
    no_utf8: NoUtf8 = False,
) -> int:
    """Show some with the tree of their nodes."""
    from events.app.workflows import archived, commands

    shown = commands.Shown(output, not no_utf8)
    return commands.run(common(kubeconfig, namespace, data), lambda one: archived.get(one, names, shown, show))


@app.command("delete")
@guarded
def delete(names: Uids, namespace: Namespace = "", kubeconfig: Kubeconfig = None, data: Data = None) -> int:
    """Forget some for good."""
    from events.app.workflows import archived, commands

    return commands.run(common(kubeconfig, namespace, data), lambda one: archived.delete(one, names, show))


@app.command("retry")
@guarded
def retry(
    names: Uids,
    selector: Selector = "",
    parameter: Parameters = None,
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    data: Data = None,
    *,
    restart_successful: Annotated[bool, typer.Option("--restart-successful")] = False,
    wait: Wait = False,
    watch: Watch = False,
    log: Follow = False,
) -> int:
    """Create failed ones again, to begin where they failed."""
    from events import workflow_retry
    from events.app.workflows import archived, commands

    given = dict(value for _, value in commands.parameters(parameter or [], None))
    options = workflow_retry.Options(restart_successful, selector, given)
    wanted = commands.Submitting(waits=wait, watches=watch, logs=log)
    return commands.run(
        common(kubeconfig, namespace, data),
        lambda one: archived.retry(one, names, options, wanted, commands.Shown(output), show),
    )


@app.command("resubmit")
@guarded
def resubmit(
    names: Uids,
    parameter: Parameters = None,
    labels: Labels = "",
    output: Output = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    data: Data = None,
    *,
    wait: Wait = False,
    watch: Watch = False,
    log: Follow = False,
) -> int:
    """Create some once more."""
    from events.app.workflows import archived, commands

    options = commands.parameters(parameter or [], None) + options_of(labels=pairs(labels) or None)
    wanted = commands.Submitting(options=options, waits=wait, watches=watch, logs=log)
    return commands.run(
        common(kubeconfig, namespace, data),
        lambda one: archived.resubmit(one, names, wanted, commands.Shown(output), show),
    )
