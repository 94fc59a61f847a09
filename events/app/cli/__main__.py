"""`python -m events.app.cli`: the command, where its script is not on PATH."""

from events.app.cli import main

main()
