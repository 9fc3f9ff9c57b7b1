"""Waiting for events that send no notification."""

import asyncio
from collections.abc import Callable


async def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Poll a condition.

    Raises:
        TimeoutError: it was still false after this time.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
