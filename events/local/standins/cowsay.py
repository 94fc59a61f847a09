"""`cowsay TEXT`, as the image docker/whalesay has it: the words in a bubble, over a whale."""

from __future__ import annotations

import sys
import textwrap

_WIDTH = 40
_WHALE = r"""
    \
     \            .  .
      \        ___|__|___
            _/ [][][][] /|   ~
       ____/__________ / /  ~
  ~~~ {               ' / ~~~~~
       \   o         __/
        \___    ____/  \___
            \__/
"""


def bubble(text: str) -> str:
    """The words between borders, at most 40 columns wide."""
    lines = [part for line in text.expandtabs().splitlines() for part in textwrap.wrap(line, _WIDTH) or [""]] or [""]
    width = max(map(len, lines))
    if len(lines) == 1:
        body = [f"< {lines[0]} >"]
    else:
        sides = ["/\\", *["||"] * (len(lines) - 2), "\\/"]
        body = [f"{side[0]} {line.ljust(width)} {side[1]}" for side, line in zip(sides, lines, strict=True)]
    return "\n".join([f" {'_' * (width + 2)} ", *body, f" {'-' * (width + 2)} "])


def main() -> None:
    """Words from the arguments, else from stdin; options of the original are accepted and change nothing."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    text = " ".join(words) if words else sys.stdin.read().rstrip("\n")
    sys.stdout.write(bubble(text) + _WHALE)


if __name__ == "__main__":
    main()
