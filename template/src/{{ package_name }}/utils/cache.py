"""Cache for repeated reads."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import cachetools

T = TypeVar("T")
MISSING = object()


class TTLCache:
    """Caches results of coroutines. Simultaneous callers of a missing key share one load.

    Each process has its own cache, so an entry may be `ttl` old even after another process changed the data.

    Args:
        ttl: seconds that an entry is valid.
        size: number of entries at most; the least recently used are evicted.
    """

    def __init__(self, *, ttl: float, size: int = 1024) -> None:
        self._entries: cachetools.TTLCache[Hashable, Any] = cachetools.TTLCache(maxsize=size, ttl=ttl)
        self._loads: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        """Return the entry, loading a missing one. Exceptions of `load` are raised and not cached."""
        entry = self._entries.get(key, MISSING)
        if entry is MISSING:
            lock = self._loads.setdefault(key, asyncio.Lock())
            async with lock:
                entry = self._entries.get(key, MISSING)
                if entry is MISSING:
                    entry = await load()
                    if self._loads.get(key) is lock:  # not invalidated meanwhile
                        self._entries[key] = entry
        return cast("T", entry)

    def invalidate(self, key: Hashable) -> None:
        """Remove an entry. A load that has begun before does not store its result."""
        self._entries.pop(key, None)
        self._loads.pop(key, None)
