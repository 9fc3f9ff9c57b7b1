"""Polling for conditions that send no notification."""

import asyncio
from collections.abc import Callable


async def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Poll until a condition is true.

    Raises:
        TimeoutError: the condition is still false after `seconds`.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
