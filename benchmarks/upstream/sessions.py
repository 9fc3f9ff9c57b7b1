# /// script
# dependencies = ["sqlalchemy[asyncio]==2.1.9", "aiosqlite"]
# ///
"""The end of `async with AsyncSession(…)` makes a task for `close()`, also where `close()` awaits nothing.

A session without a transaction, or with a connection in autocommit, closes without input or output. `__aexit__` could
run the first step of `close()` in place, and make a task only if the step awaits something. Python 3.12's eager
tasks do that: `asyncio.Task(…, eager_start=True)`.
"""

import asyncio
import time

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

TIMES = 5_000


async def with_task(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions():
        pass


async def in_place(sessions: async_sessionmaker[AsyncSession]) -> None:
    session = sessions()
    await session.close()


async def main() -> None:
    sessions = async_sessionmaker(create_async_engine("sqlite+aiosqlite://"))
    for use in (with_task, in_place) * 2:
        started = time.process_time()
        for _ in range(TIMES):
            await use(sessions)
        print(f"{use.__name__:10} {(time.process_time() - started) / TIMES * 1e6:6.1f} µs")


if __name__ == "__main__":
    asyncio.run(main())
