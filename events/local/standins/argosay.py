"""`argosay`, as the image argoproj/argosay has it: `echo TEXT [FILE]`, `sleep D`, `exit N`, `cat FILE…`.

`assert_contains FILE TEXT…` ends with 1 when the file lacks one of the texts. Without a verb it greets.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_USAGE = 64


def seconds(text: str) -> float:
    """`1m30s` -> 90.0. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not text or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def run(arguments: list[str]) -> int:
    """The exit code."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("echo", ["hello argo"])
    if verb == "echo":
        text = (rest[0] if rest else "") + "\n"
        if len(rest) > 1:
            Path(rest[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(rest[1]).write_text(text)
        else:
            sys.stdout.write(text)
    elif verb == "sleep":
        time.sleep(seconds(rest[0] if rest else "1s"))
    elif verb == "exit":
        return int(rest[0]) if rest else 0
    elif verb == "cat":
        for name in rest:
            sys.stdout.write(Path(name).read_text())
    elif verb == "assert_contains":
        text = Path(rest[0]).read_text()
        missing = [word for word in rest[1:] if word not in text]
        if missing:
            sys.stderr.write(f"{rest[0]} does not contain {missing[0]!r}\n")
            return 1
    else:
        sys.stderr.write(f"argosay: {verb!r} is none of echo, sleep, exit, cat, assert_contains\n")
        return _USAGE
    return 0


def main() -> None:
    """Entry point."""
    try:
        sys.exit(run(sys.argv[1:]))
    except (OSError, ValueError, IndexError) as error:
        sys.stderr.write(f"argosay: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
