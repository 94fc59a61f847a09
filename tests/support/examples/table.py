"""The table of `docs/examples.md`, from the rows that the suite looks at.

PYTHONPATH=tests .venv/bin/python -m support.examples.table
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from support.examples import own, published
from support.examples.rows import Row
from support.examples.world import ROOT

FILE = ROOT / "docs/examples.md"
_HEAD = """# The examples, on one machine

What becomes of each example when it is applied to one `keryx up` with kubectl. Made from what
`tests/e2e/examples` looks at, which plays all of them (`PYTHONPATH=tests .venv/bin/python -m support.examples.table`).
Services beside the machine are played by moto (AWS), Google's emulator of Pub/Sub, a nats-server and stand-ins.
The suite takes a whole machine for five minutes (`make soak`).

"""
_WALKTHROUGH = Row("walkthrough", "the README's walk-through (typed by a test of its own)", published.accounts)


def text() -> str:
    """The whole file."""
    parts = [_HEAD, "## Ours (`examples/`)\n\n", _table([*own.ROWS, _WALKTHROUGH])]
    parts += ["\n## Those published with Argo Events (`examples/` of its repository)\n\n", _table(published.ROWS)]
    return "".join(parts)


def _table(rows: Iterable[Row]) -> str:
    listed = sorted(rows, key=lambda row: row.path)
    counts = Counter(row.outcome.partition(" ")[0].rstrip(";") for row in listed)
    told = ", ".join(f"{count} {_WORDS[word]}" for word, count in sorted(counts.items(), key=lambda one: -one[1]))
    lines = [f"{told}.", "", "| example | what it shows | on one machine |", "|---|---|---|"]
    lines += [f"| `{row.path}` | {row.shows} | {row.outcome} |" for row in listed]
    return "\n".join(lines) + "\n"


_WORDS = {
    "ran": "ran",
    "refused": "are refused as they are",
    "needs": "need a service outside",
    "not": "are not yet there, and say so",
}

if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
