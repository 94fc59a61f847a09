"""A coroutine in a thread of its own, beside a test that is none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def in_thread(start: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Runs until the `with` ends; what it raised is raised then."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(start())
    thread = threading.Thread(target=lambda: loop.run_until_complete(_ended(task)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        loop.close()
    if not task.cancelled():
        task.result()


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
    await asyncio.sleep(0.3)  # connections with TLS are closed some turns of the loop after they were told to
