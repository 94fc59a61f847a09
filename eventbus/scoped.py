"""A part of a bus's state, for one object: keys below a prefix, the state opened when it is first used."""

from __future__ import annotations

from eventbus import subjects
from eventbus.base import Bus, Entry, State


class ScopedState:
    """Keys of `parts` alone. A key given here is one word; it is escaped."""

    def __init__(self, bus: Bus, *parts: str) -> None:
        self._bus, self._prefix = bus, f"{subjects.key(*parts)}."

    async def _state(self) -> State:
        return await self._bus.state("state")

    def _key(self, key: str) -> str:
        return self._prefix + subjects.key_part(key)

    async def get(self, key: str) -> Entry | None:
        entry = await (await self._state()).get(self._key(key))
        return None if entry is None else Entry(key, entry.value, entry.revision)

    async def create(self, key: str, value: bytes) -> int:
        return await (await self._state()).create(self._key(key), value)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        return await (await self._state()).update(self._key(key), value, revision)

    async def put(self, key: str, value: bytes) -> int:
        return await (await self._state()).put(self._key(key), value)

    async def purge(self, key: str) -> None:
        await (await self._state()).purge(self._key(key))

    async def keys(self, prefix: str = "") -> list[str]:
        found = await (await self._state()).keys(self._prefix + subjects.key_part(prefix))
        return [subjects.unescape(key.removeprefix(self._prefix)) for key in found]
