"""Optional SDKs: `with extra("kafka"): import confluent_kafka` inside the method that needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from events.errors import MissingExtra


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn a missing SDK into an error that names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{error.name} is not installed", cure=f"pip install 'keryx[{name}]'") from error
