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
        self._loads: WeakValueDictionary[Hashable, _Load] = WeakValueDictionary()

    async def get(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        """Return the entry, loading a missing one. Exceptions of `load` are raised and not cached."""
        entry = self._entries.get(key, MISSING)
        if entry is MISSING:
            running = self._loads.setdefault(key, _Load())
            async with running.lock:
                entry = self._entries.get(key, MISSING)
                if entry is MISSING:
                    entry = await load()
                    if not running.is_outdated:
                        self._entries[key] = entry
        return cast("T", entry)

    def invalidate(self, key: Hashable) -> None:
        """Remove an entry. A load that has begun before does not store its result."""
        self._entries.pop(key, None)
        running = self._loads.pop(key, None)
        if running is not None:
            running.is_outdated = True


class _Load:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.is_outdated = False
