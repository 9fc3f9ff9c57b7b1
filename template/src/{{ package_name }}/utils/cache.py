"""A cache for reads that repeat."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import cachetools

T = TypeVar("T")
MISSING = object()


class TTLCache:
    """Keeps what a coroutine returned for a while; of those who ask at the same time, one loads.

    Each process has its own, so an answer may be as old as `ttl` even after another process changed it.

    Args:
        ttl: seconds that an entry is kept.
        size: entries kept at most; the least recently used go first.
    """

    def __init__(self, *, ttl: float, size: int = 1024) -> None:
        self._entries: cachetools.TTLCache[Hashable, Any] = cachetools.TTLCache(maxsize=size, ttl=ttl)
        self._loading: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        """The entry, loaded if there is none. What `load` raises is raised here, and not kept."""
        entry = self._entries.get(key, MISSING)
        if entry is MISSING:
            async with self._loading.setdefault(key, asyncio.Lock()):
                entry = self._entries.get(key, MISSING)
                if entry is MISSING:
                    entry = self._entries[key] = await load()
        return cast("T", entry)

    def forget(self, key: Hashable) -> None:
        self._entries.pop(key, None)
