"""`keryx dlq list|show|redrive|discard`, with their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from events.app.cli.guard import guarded

if TYPE_CHECKING:
    from events.app.dlq import Request

app = typer.Typer(
    name="dlq",
    help="Dead letters: events and firings that a trigger could not handle.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _output(text: str) -> str:
    if text not in ("text", "json"):
        raise typer.BadParameter(f"{text!r} is neither text nor json")
    return text


Url = Annotated[str, typer.Option("--bus", metavar="URL", help="The NATS server. Else EVENTBUS_CONFIG, else --data.")]
Data = Annotated[Path | None, typer.Option(help="The data of `keryx run`; .keryx unless said.")]
Namespace = Annotated[str, typer.Option(help="Namespace of the sensors; default unless said.")]
EventBus = Annotated[str, typer.Option("--event-bus", help="EventBus of --data, where it has several.")]
Sensor = Annotated[str, typer.Option(help="Of this sensor only.")]
Trigger = Annotated[str, typer.Option(help="Of this trigger only.")]
Reason = Annotated[str, typer.Option(help="With this reason only.")]
Since = Annotated[str, typer.Option(help="That failed since: an age such as 1h, or a time.")]
Output = Annotated[str, typer.Option("--output", "-o", help="text or json.", callback=_output)]
Ids = Annotated[list[str], typer.Argument(metavar="ID")]
SomeIds = Annotated[list[str] | None, typer.Argument(metavar="ID")]
All = Annotated[bool, typer.Option("--all", help="All letters.")]


@app.command("list")
@guarded
def list_letters(
    sensor: Sensor = "",
    trigger: Trigger = "",
    reason: Reason = "",
    since: Since = "",
    output: Output = "text",
    url: Url = "",
    data: Data = None,
    namespace: Namespace = "",
    event_bus: EventBus = "",
) -> int:
    """List letters, oldest first."""
    request = _request(locals())
    from events.app import dlq

    return dlq.list_letters(request)


@app.command("show")
@guarded
def show_letters(
    ids: Ids,
    output: Output = "text",
    url: Url = "",
    data: Data = None,
    namespace: Namespace = "",
    event_bus: EventBus = "",
) -> int:
    """Show letters with their events."""
    request = _request(locals())
    from events.app import dlq

    return dlq.show_letters(request)


@app.command("redrive")
@guarded
def redrive(
    ids: SomeIds = None,
    sensor: Sensor = "",
    trigger: Trigger = "",
    reason: Reason = "",
    since: Since = "",
    output: Output = "text",
    url: Url = "",
    data: Data = None,
    namespace: Namespace = "",
    event_bus: EventBus = "",
    *,
    is_all: All = False,
) -> int:
    """Have letters handled again: what succeeds leaves the list, what fails again comes back."""
    request = _request(locals())
    from events.app import dlq

    return dlq.redrive(request)


@app.command("discard")
@guarded
def discard(
    ids: SomeIds = None,
    sensor: Sensor = "",
    trigger: Trigger = "",
    reason: Reason = "",
    since: Since = "",
    output: Output = "text",
    url: Url = "",
    data: Data = None,
    namespace: Namespace = "",
    event_bus: EventBus = "",
    *,
    is_all: All = False,
) -> int:
    """Forget letters for good."""
    request = _request(locals())
    from events.app import dlq

    return dlq.discard(request)


def _request(options: dict[str, Any]) -> Request:
    """From the options of a command, by their names."""
    from events.app.dlq import Request

    return Request(**{name: value for name, value in options.items() if value is not None})
