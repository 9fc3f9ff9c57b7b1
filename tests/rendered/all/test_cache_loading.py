"""Tests of TTLCache: failed loads, size and invalidation."""

import pytest

from my_service.utils.cache import TTLCache


async def one() -> int:
    return 1


async def two() -> int:
    return 2


async def fail() -> int:
    raise LookupError


async def test_failed_load_is_not_cached() -> None:
    cache = TTLCache(ttl=60)
    with pytest.raises(LookupError):
        await cache.get("key", fail)
    assert await cache.get("key", one) == 1


async def test_least_recently_used_entry_is_evicted() -> None:
    cache = TTLCache(ttl=60, size=2)
    for key in "abc":
        await cache.get(key, one)
    assert await cache.get("c", two) == 1
    assert await cache.get("a", two) == 2


async def test_missing_key_can_be_invalidated() -> None:
    TTLCache(ttl=60).invalidate("key")


async def test_load_that_was_invalidated_is_not_stored() -> None:
    cache = TTLCache(ttl=60)

    async def load_during_a_change() -> int:
        cache.invalidate("key")
        return 1

    assert await cache.get("key", load_during_a_change) == 1
    assert await cache.get("key", two) == 2
