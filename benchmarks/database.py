"""What the database costs the service: `make bench-database`.

Renders the default service, serves it from one process on a PostgreSQL of its own, and prints ratios
measured side by side: the absolute figures are those of a shared machine.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from harness import Http, command, run
from subjects import ROOT, Subject, create_database, plain, postgres, workshop

sys.path.insert(0, str(ROOT / "tests"))
from proxy import Proxy

ROUNDS = 5
SECONDS = 2.0
CLIENTS = 16

Work = Callable[[], Awaitable[None]]


async def rate(works: list[Work]) -> float:
    """How often per second all of these together can be done."""
    deadline = time.perf_counter() + SECONDS
    done = 0

    async def repeat(work: Work) -> None:
        nonlocal done
        while time.perf_counter() < deadline:
            await work()
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*map(repeat, works))
    return done / (time.perf_counter() - started)


async def measure_requests(port: int, url: str) -> dict[str, list[float]]:
    """Requests through the whole stack, and their statements on bare asyncpg, in turns."""
    pool = await asyncpg.create_pool(url, min_size=CLIENTS, max_size=CLIENTS)
    clients = [await Http(port).__aenter__() for _ in range(CLIENTS)]
    item = await pool.fetchval("INSERT INTO my_service.item (id, name) VALUES ($1, 'read') RETURNING id", uuid4())
    columns = "id, name, description, created_at, updated_at"

    def http_read(client: Http) -> Work:
        async def work() -> None:
            assert await client.request("GET", f"/api/v1/items/{item}") == 200

        return work

    def http_create(client: Http) -> Work:
        async def work() -> None:
            assert await client.request("POST", "/api/v1/items", b'{"name":"%s"}' % uuid4().hex.encode()) == 201

        return work

    async def bare_read() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(f"SELECT {columns} FROM my_service.item WHERE id = $1", item)

    async def bare_create() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(
                "INSERT INTO my_service.item (id, name) VALUES ($1, $2) RETURNING created_at, updated_at",
                uuid4(),
                uuid4().hex,
            )

    works: dict[str, list[Work]] = {
        "read by id": [http_read(client) for client in clients],
        "read by id, bare asyncpg": [bare_read] * CLIENTS,
        "create": [http_create(client) for client in clients],
        "create, bare asyncpg": [bare_create] * CLIENTS,
    }
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            rates[name].append(await rate(work))
    for client in clients:
        await client.__aexit__()
    await pool.close()
    return rates


async def measure_health(port: int, *, load: bool) -> list[float]:
    """Milliseconds of /health/db, while other clients read as fast as they can."""
    busy: list[asyncio.Task[None]] = []

    async def read() -> None:
        async with Http(port) as client:
            while True:
                await client.request("GET", "/api/v1/items?limit=50")

    if load:
        busy = [asyncio.create_task(read()) for _ in range(8)]
    latencies = []
    async with Http(port) as client:
        for _ in range(100):
            started = time.perf_counter()
            await client.request("GET", "/health/db")
            latencies.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.01)
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    return sorted(latencies)


def row(name: str, values: list[float], unit: str, baseline: list[float] | None = None) -> None:
    ratio = statistics.median(a / b for a, b in zip(values, baseline, strict=True)) if baseline else None
    spread = f"{statistics.median(values):9.1f} {min(values):9.1f} {max(values):9.1f}"
    print(f"{name:38} {spread}  {unit:6} {f'x{ratio:.2f}' if ratio else ''}")


def percentiles(name: str, latencies: list[float]) -> None:
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    print(f"{name:38} {p50:9.1f} {p99:9.1f} {latencies[-1]:9.1f}  ms")


def main() -> None:
    with workshop() as place, postgres(place) as server:
        service = place.ours(create_database(server, "service"))
        url = service.variables["DATABASE_URL"]
        print(f"{'':38} {'median':>9} {'min':>9} {'max':>9}")
        with service.serving() as served:
            rates = asyncio.run(measure_requests(served.port, plain(url)))
        for name in ("read by id", "create"):
            row(name, rates[name], "1/s", rates[f"{name}, bare asyncpg"])
            row(f"{name}, bare asyncpg", rates[f"{name}, bare asyncpg"], "1/s")
        pings: dict[str, list[float]] = {"true": [], "false": []}
        with (
            service.serving(DATABASE_POOL_PRE_PING="true") as with_ping,
            service.serving(DATABASE_POOL_PRE_PING="false") as without,
        ):
            for _ in range(ROUNDS):
                pings["true"].append(asyncio.run(count_reads(with_ping.port)))
                pings["false"].append(asyncio.run(count_reads(without.port)))
        row("list, with pre-ping", pings["true"], "1/s", pings["false"])
        row("list, without pre-ping", pings["false"], "1/s")
        print(f"\n{'':38} {'p50':>9} {'p99':>9} {'max':>9}")
        with Proxy(server.port) as proxy:
            through = url.replace(f":{server.port}/", f":{proxy.port}/")
            with service.serving(DATABASE_URL=through) as served:
                percentiles("/health/db", asyncio.run(measure_health(served.port, load=False)))
                percentiles("/health/db under load", asyncio.run(measure_health(served.port, load=True)))
                proxy.silence()
                percentiles("/health/db, black-holed", asyncio.run(measure_health(served.port, load=False)))
        copy_rows(service, server, place.directory)


async def count_reads(port: int) -> float:
    async with Http(port) as client:

        async def work() -> None:
            assert await client.request("GET", "/api/v1/items?limit=1") == 200

        return await rate([work])


def copy_rows(service: Subject, server: Any, directory: Path, rows: int = 50_000) -> None:
    source = f"sqlite+aiosqlite:///{directory}/source.db"
    python = service.command[0]
    migrate = (python, "-m", "alembic", "upgrade", "head")
    run(migrate, service.cwd, **{**service.variables, "DATABASE_URL": source, "ENVIRONMENT": "development"})
    fill = (
        "import sqlite3, uuid; c = sqlite3.connect('{path}'); c.executemany("
        "'INSERT INTO item (id, name) VALUES (?, ?)', ((uuid.uuid4().hex, str(n)) for n in range({rows}))); c.commit()"
    ).format(path=directory / "source.db", rows=rows)
    run([sys.executable, "-c", fill], directory)
    target = create_database(server, "copied")
    run(migrate, service.cwd, **{**service.variables, "DATABASE_URL": target})
    copy_data = (sys.executable, "-m", "standfast", "copy-data", "--project", service.cwd, "--python", python)
    copied = run([*copy_data, source, target], ROOT, **service.variables)
    print(f"\nstandfast copy-data, SQLite to PostgreSQL: {rows / copied.wall:,.0f} rows/s, verified")


if __name__ == "__main__":
    command(main)
