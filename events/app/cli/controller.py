"""`keryx controller`: its flags as Argo Events' deployments give them (`--namespaced`, `--leader-election=false`).

Parsed without the library of the other commands, as what pods run is. Contract: sensors F.1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from events import logs, settings
from events.app.cli.services import USAGE
from events.errors import UserError
from events.version import VERSION


def main(arguments: Sequence[str]) -> int:
    """Run the controllers; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        read = settings.read()
        logs.set_up(read.log_level)
        from events import process
        from events.app import controllers, manager

        options = manager.Options(
            namespaced=given.namespaced,
            managed_namespace=given.managed_namespace,
            leader_election=given.leader_election,
            metrics_port=given.metrics_port,
            health_port=given.health_port,
            config_file=given.config_file,
        )
        return process.start(lambda: controllers.run(options, read, VERSION))
    except UserError as error:
        print(f"keryx: {error}", file=sys.stderr)  # noqa: T201
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keryx controller", description="Run the controllers of EventBus, EventSource and Sensor on a cluster."
    )

    def truth(name: str, default: str, text: str) -> None:
        parser.add_argument(
            name, type=_truth, nargs="?", const="true", default=default, metavar="true|false", help=text
        )

    def port(name: str, default: int, text: str) -> None:
        parser.add_argument(name, type=_port, default=default, metavar="PORT", help=f"{text}; 0 takes any ({default})")

    truth("--namespaced", "false", "watch one namespace only")
    parser.add_argument(
        "--managed-namespace", default="", metavar="NAME", help="that namespace, if it is not the controller's own"
    )
    truth("--leader-election", "true", "let one of several replicas work (true)")
    port("--metrics-port", 7777, "port of /metrics")
    port("--health-port", 8081, "port of /healthz and /readyz")
    parser.add_argument(
        "--config-file",
        type=Path,
        default=Path("/etc/argo-events/controller-config.yaml"),
        metavar="FILE",
        help="images of buses and their defaults; followed while it changes (%(default)s)",
    )
    parser.add_argument("--kloglevel", type=int, default=0, help=argparse.SUPPRESS)  # a detail of Argo Events
    return parser


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "t", "f"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1", "t")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)
