"""The command `keryx`. What a command needs is imported when it is called.

The services of pods are parsed without the library of the other commands: it would cost each pod 6 MiB and 70 ms.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point; user errors are one line on stderr and exit code 2, never a traceback."""
    from events.app.cli import services

    if services.is_plain(sys.argv[1:]):
        sys.exit(services.main(sys.argv[1]))
    if sys.argv[1:2] == ["controller"]:
        from events.app.cli import controller

        sys.exit(controller.main(sys.argv[2:]))
    from events.app.cli.commands import app

    app()
