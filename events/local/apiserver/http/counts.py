"""How many requests were answered, for `/metrics`: the one series of a real server that tells who asks too much."""

from __future__ import annotations

from collections import Counter

_NAME = "apiserver_request_total"


class Counts:
    """By verb, resource, subresource and code."""

    def __init__(self) -> None:
        self._answered: Counter[tuple[str, str, str, int]] = Counter()

    def answered(self, verb: str, resource: str, subresource: str, code: int) -> None:
        """One more."""
        self._answered[verb, resource, subresource, code] += 1

    def text(self) -> str:
        """As Prometheus reads it."""
        lines = [f"# HELP {_NAME} Requests that were answered.", f"# TYPE {_NAME} counter"]
        for (verb, resource, subresource, code), count in sorted(self._answered.items()):
            labels = f'code="{code}",resource="{resource}",subresource="{subresource}",verb="{verb.upper()}"'
            lines.append(f"{_NAME}{{{labels}}} {count}")
        return "\n".join(lines) + "\n"
