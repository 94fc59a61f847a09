"""The commands, with their options. Each does no more than call the module that does the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from events import logs
from events.app.cli import dlq, local, services, verbs, wf
from events.app.cli.guard import USAGE, guarded, show
from events.version import VERSION

FORMATS = ("text", "json", "github")
LEVELS = ("debug", "info", "warn", "error")

app = typer.Typer(
    name="keryx",
    help="Event-driven automation for Kubernetes and for one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(dlq.app, name="dlq")
app.add_typer(wf.app, name="wf")
local.register(app)


def _verb(name: str, text: str) -> None:
    """Say that there is a verb; it parses its options itself."""

    def command(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
        raise typer.Exit(verbs.main([name, *(arguments or [])]))

    settings = {"ignore_unknown_options": True}
    app.command(name, help=text, context_settings=settings, add_help_option=False)(command)


for _name, _row in verbs.VERBS.items():
    _verb(_name, _row.help)


def _level(text: str) -> str:
    if text.lower() not in LEVELS:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(LEVELS)}")
    return text.lower()


def _format(text: str) -> str:
    if text not in FORMATS:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(FORMATS)}")
    return text


def _output(text: str) -> str:
    if text not in ("text", "json"):
        raise typer.BadParameter(f"{text!r} is neither text nor json")
    return text


@app.command("run")
@guarded
def run(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders with manifests.")],
    namespace: Annotated[str, typer.Option(help="Namespace of objects that name none.")] = "default",
    data: Annotated[Path, typer.Option(help="Where the bus keeps its data.")] = Path(".keryx"),
    address: Annotated[str, typer.Option(help="Where endpoints listen; 0.0.0.0 for every interface.")] = "127.0.0.1",
    credentials: Annotated[
        Path | None,
        typer.Option(help="Folder with secrets/NAME/KEY and config/NAME/KEY.", exists=True, file_okay=False),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Create objects in this cluster.", exists=True, dir_okay=False)
    ] = None,
    metrics_port: Annotated[
        int, typer.Option(help="Port of /metrics and /readyz; 0 takes any, -1 none.", min=-1, max=65535)
    ] = -1,
    grace: Annotated[float, typer.Option(help="Seconds that running actions get at the end.", min=0, max=1e6)] = 25.0,
    log_level: Annotated[
        str, typer.Option(envvar="LOG_LEVEL", help=", ".join(LEVELS), callback=_level, is_eager=True)
    ] = "info",
    *,
    check: Annotated[bool, typer.Option("--check", help="Validate and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print objects instead of creating them.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Take changed files without a restart.")] = False,
) -> int:
    """Run the EventBus, EventSource and Sensor objects of some files, without a cluster."""
    from events.app import run as running

    logs.set_up(log_level)
    options = running.Options(
        paths=paths,
        namespace=namespace,
        data=data,
        address="" if address in ("0.0.0.0", "::") else address,  # noqa: S104 - asked for
        credentials=credentials,
        kubeconfig=kubeconfig,
        dry_run=dry_run,
        watch=watch,
        metrics_port=None if metrics_port < 0 else metrics_port,
        grace=grace,
        version=VERSION,
    )
    objects, problems = running.load(options)
    for problem in problems:
        print(f"{problem.severity.value}: {problem}", file=sys.stderr)  # noqa: T201
    if running.refused(problems):
        return USAGE
    if check:
        counts = f"{len(objects.buses)} buses, {len(objects.sources)} event sources, {len(objects.sensors)} sensors"
        print(f"valid: {counts}")  # noqa: T201
        return 0
    if blocked := running.blocked(objects):
        for problem in blocked:
            print(f"{problem.severity.value}: {problem}", file=sys.stderr)  # noqa: T201
        return USAGE
    from events import process

    return process.start(lambda: running.run(options, objects))


@app.command("lint")
def lint(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders with manifests.")] = None,
    form: Annotated[str, typer.Option("--format", help="text, json or github.", callback=_format)] = "text",
    *,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="Subfolders, too.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
) -> None:
    """Check EventBus, EventSource and Sensor manifests; exit code 1 when there is an error."""
    from events.app import lint as linting

    if not paths:
        print("keryx: give files or folders to check", file=sys.stderr)  # noqa: T201
        raise typer.Exit(1)
    checked = linting.check(paths, is_deep=recursive)
    for line in linting.FORMATS[form](checked):
        show(line)
    raise typer.Exit(linting.exit_code(checked, is_strict=strict))


@app.command("apiserver")
@guarded
def apiserver(
    kubeconfig: Annotated[Path, typer.Option(help="Written once it is ready: the administrator's kubeconfig.")],
    data: Annotated[Path, typer.Option(help="Where it keeps objects and keys.")] = Path(".keryx/apiserver"),
    address: Annotated[str, typer.Option(help="Where it listens; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any.", min=0, max=65535)] = 0,
    name: Annotated[list[str] | None, typer.Option(help="Another name clients call it by; may be repeated.")] = None,
    faults: Annotated[
        int | None, typer.Option(help="Seed: refuse, delay and cut requests at random, to test clients.")
    ] = None,
    log_level: Annotated[
        str, typer.Option(help=f"{', '.join(LEVELS)}.", callback=_level, envvar="KERYX_LOG_LEVEL")
    ] = "info",
) -> int:
    """A Kubernetes API server on this machine, in the foreground: for kubectl, and for the tests of controllers."""
    from events import process
    from events.app import api_server
    from events.local.apiserver.server import Settings

    logs.set_up(log_level)
    settings = Settings(data, address, port, tuple(name or ()), faults)
    return process.start(lambda: api_server.run(api_server.Options(settings, kubeconfig)))


@app.command("controller", context_settings={"ignore_unknown_options": True}, add_help_option=False)
def controller(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Run the controllers of EventBus, EventSource and Sensor on a cluster."""
    from events.app.cli import controller as command

    raise typer.Exit(command.main(arguments or []))


@app.command("sensor-service")
def sensor_service(
    object: Annotated[Path | None, typer.Option("--object", help="Take the Sensor from this file.")] = None,
) -> None:
    """Run the Sensor of SENSOR_OBJECT on the bus of EVENTBUS_CONFIG: what a sensor pod does."""
    raise typer.Exit(services.main("sensor-service", object))


@app.command("eventsource-service")
def event_source_service(
    object: Annotated[Path | None, typer.Option("--object", help="Take the EventSource from this file.")] = None,
) -> None:
    """Run the EventSource of EVENTSOURCE_OBJECT on the bus of EVENTBUS_CONFIG: what an event source pod does."""
    raise typer.Exit(services.main("eventsource-service", object))


@app.command("webhook-service")
def webhook_service() -> None:
    """Check objects when they are applied, as an admission webhook: what the webhook's pods do."""
    raise typer.Exit(services.main("webhook-service"))


@app.command("migrate-check")
@guarded
def migrate_check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders; none: the cluster.")] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Of the cluster to read.", exists=True, dir_okay=False, envvar="KUBECONFIG")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Only this one of the cluster.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.", callback=_output)] = "text",
) -> int:
    """What changes for each object when Argo Events' controller is swapped for Keryx; nothing is written."""
    import asyncio

    from events.app.migration import check

    if paths:
        checked = check.of_files(paths)
    else:
        from events.kube.client import KubeClient

        async def read() -> list[check.Checked]:
            api = KubeClient(str(kubeconfig) if kubeconfig else None)
            try:
                return await check.of_cluster(api, namespace or None)
            finally:
                await api.aclose()

        checked = asyncio.run(read())
    for line in check.FORMATS[output](checked):
        show(line)
    return 0


@app.command("crds")
def crds() -> None:
    """Print the custom resource definitions, for kubectl apply -f -."""
    from events.app import crds as custom
    from events.app import manifests

    show(manifests.text(custom.definitions()).rstrip())


@app.command("version")
def version() -> None:
    """Print the version."""
    print(VERSION)  # noqa: T201
