"""`by_name.py PROGRAM ARGUMENTS…`: curl or wget where names of services are in the file of `KERYX_HOSTS` alone.

curl is told what each name in its URLs leads to; wget, which cannot be, gets the address in the URL and the name in a
header, which does for http. Standard library alone.
"""

# ruff: noqa: S606  # becoming the program is its purpose
from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HOST = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9.]*[A-Za-z0-9])?")
_BARE = re.compile(r"([A-Za-z0-9][-A-Za-z0-9.]*)(:\d+)?(/.*)?")


def target(word: str) -> tuple[str, int] | None:
    """Host and port of a URL, with or without a scheme; None for what is none."""
    text = word if "://" in word else f"http://{word}" if _BARE.fullmatch(word) else ""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (host, port) if _HOST.fullmatch(host) and port else None


def for_curl(given: list[str], names: dict[str, list[str]]) -> list[str]:
    """`--resolve` for every name that is known."""
    found: list[str] = []
    for word in given:
        if (there := target(word)) and (addresses := names.get(there[0].lower())):
            found += ["--resolve", f"{there[0]}:{there[1]}:{','.join(addresses)}"]
    return [*found, *given]


def for_wget(given: list[str], names: dict[str, list[str]]) -> list[str]:
    """Addresses in URLs, and their names as the header `Host`."""
    found, headers = [], []
    for word in given:
        there = target(word) if not word.startswith("-") else None
        addresses = names.get(there[0].lower()) if there else None
        if there and addresses and not word.startswith("https:"):
            headers = ["--header", f"Host: {there[0]}:{there[1]}"]
            word = re.sub(re.escape(there[0]), addresses[0], word, count=1, flags=re.IGNORECASE)
        found.append(word)
    return [*headers, *found]


def main() -> None:
    """Entry point."""
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from events.local.standins.site import sitecustomize

    program, given = sys.argv[1], sys.argv[2:]
    names = sitecustomize.known(os.environ.get(sitecustomize.VARIABLE, ""))
    change = for_curl if os.path.basename(program) == "curl" else for_wget
    os.execv(program, [program, *change(given, names)])


if __name__ == "__main__":
    main()
