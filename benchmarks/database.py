"""What the database costs the service: `make bench-database`.

Renders the default service, serves it from one process on a PostgreSQL of its own, and prints ratios
measured side by side: the absolute figures are those of a shared machine.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
from copier import run_copy
from copier.errors import DirtyLocalWarning

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from conftest import load_postgres_server, make_environment  # noqa: E402
from processes import free_port  # noqa: E402
from proxy import Proxy  # noqa: E402

ROUNDS = 5
SECONDS = 2.0
CLIENTS = 16

Work = Callable[[], Awaitable[None]]


class Http:
    """One keep-alive connection that costs the client next to nothing."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Http:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def request(self, method: str, path: str, body: bytes = b"") -> int:
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: x",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        self._writer.write("\r\n".join((*lines, "", "")).encode() + body)
        response = await self._reader.readuntil(b"\r\n\r\n")
        length = int(response.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        await self._reader.readexactly(length)
        return int(response[9:12])


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


@contextmanager
def serving(service: Path, environment: Any, url: str, **variables: str) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [environment.python, "-m", "my_service"],
        cwd=service,
        env={**os.environ, **environment.variables(service, DATABASE_URL=url, PORT=str(port), **variables)},
        stdout=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                httpx2.get(f"http://127.0.0.1:{port}/health")
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def row(name: str, values: list[float], unit: str, baseline: list[float] | None = None) -> None:
    ratio = statistics.median(a / b for a, b in zip(values, baseline, strict=True)) if baseline else None
    spread = f"{statistics.median(values):9.1f} {min(values):9.1f} {max(values):9.1f}"
    print(f"{name:38} {spread}  {unit:6} {f'x{ratio:.2f}' if ratio else ''}")


def percentiles(name: str, latencies: list[float]) -> None:
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    print(f"{name:38} {p50:9.1f} {p99:9.1f} {latencies[-1]:9.1f}  ms")


def main() -> None:
    warnings.simplefilter("ignore", DirtyLocalWarning)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as directory:
        service = Path(directory, "service")
        run_copy(str(ROOT), service, defaults=True, vcs_ref="HEAD", quiet=True)
        environment = make_environment(service, Path(directory))
        with load_postgres_server(service).PostgresServer() as server:
            environment.run(service, "alembic", "upgrade", "head", DATABASE_URL=server.url)
            url = server.url.replace("+asyncpg", "")
            print(f"{'':38} {'median':>9} {'min':>9} {'max':>9}")
            with serving(service, environment, server.url) as port:
                rates = asyncio.run(measure_requests(port, url))
            for name in ("read by id", "create"):
                row(name, rates[name], "1/s", rates[f"{name}, bare asyncpg"])
                row(f"{name}, bare asyncpg", rates[f"{name}, bare asyncpg"], "1/s")
            pings: dict[str, list[float]] = {"true": [], "false": []}
            with (
                serving(service, environment, server.url, DATABASE_POOL_PRE_PING="true") as with_ping,
                serving(service, environment, server.url, DATABASE_POOL_PRE_PING="false") as without,
            ):
                for _ in range(ROUNDS):
                    pings["true"].append(asyncio.run(count_reads(with_ping)))
                    pings["false"].append(asyncio.run(count_reads(without)))
            row("list, with pre-ping", pings["true"], "1/s", pings["false"])
            row("list, without pre-ping", pings["false"], "1/s")
            print(f"\n{'':38} {'p50':>9} {'p99':>9} {'max':>9}")
            with Proxy(server.port) as proxy:
                through = server.url.replace(f":{server.port}/", f":{proxy.port}/")
                with serving(service, environment, through) as port:
                    percentiles("/health/db", asyncio.run(measure_health(port, load=False)))
                    percentiles("/health/db under load", asyncio.run(measure_health(port, load=True)))
                    proxy.silence()
                    percentiles("/health/db, black-holed", asyncio.run(measure_health(port, load=False)))
            copy_rows(service, environment, server, Path(directory))


async def count_reads(port: int) -> float:
    async with Http(port) as client:

        async def work() -> None:
            assert await client.request("GET", "/api/v1/items?limit=1") == 200

        return await rate([work])


def copy_rows(service: Path, environment: Any, server: Any, directory: Path, rows: int = 50_000) -> None:
    source = f"sqlite+aiosqlite:///{directory}/source.db"
    environment.run(service, "alembic", "upgrade", "head", DATABASE_URL=source)
    fill = (
        "import sqlite3, uuid; c = sqlite3.connect('{path}'); c.executemany("
        "'INSERT INTO item (id, name) VALUES (?, ?)', ((uuid.uuid4().hex, str(n)) for n in range({rows}))); c.commit()"
    ).format(path=directory / "source.db", rows=rows)
    subprocess.run([sys.executable, "-c", fill], check=True)
    asyncio.run(create_database(server.url.replace("+asyncpg", "")))
    target = server.url.rpartition("/")[0] + "/copied"
    environment.run(service, "alembic", "upgrade", "head", DATABASE_URL=target)
    started = time.perf_counter()
    subprocess.run(
        [environment.python, "scripts/copy_data.py", source, target],
        cwd=service,
        env={**os.environ, **environment.variables(service)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    print(f"\ncopy_data.py, SQLite to PostgreSQL: {rows / (time.perf_counter() - started):,.0f} rows/s, verified")


async def create_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE DATABASE copied")
    await connection.close()


if __name__ == "__main__":
    main()
