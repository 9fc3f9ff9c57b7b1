"""What more clients than the service can work for get: `make bench-overload`.

Clients who ask again as soon as they are answered, of a service that works on MAX_CONCURRENT_REQUESTS at once and of
one that takes them all, in turns: the absolute figures are those of a shared machine.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from copier import run_copy
from copier.errors import DirtyLocalWarning

from database import ROOT, Http, serving

sys.path.insert(0, str(ROOT / "tests"))
from conftest import load_postgres_server, make_environment

CLIENTS = (1, 10, 50, 100, 200, 400)
SECONDS = 4.0
LIMITS = {"bounded": "50", "unbounded": "100000"}


async def crowd(port: int, clients: int) -> tuple[Counter[int], list[float]]:
    """The answers by status, and the seconds until each that was a success."""
    answers: Counter[int] = Counter()
    latencies: list[float] = []
    deadline = time.perf_counter() + SECONDS

    async def ask() -> None:
        async with Http(port) as client:
            while time.perf_counter() < deadline:
                started = time.perf_counter()
                status = await client.request("GET", "/api/v1/items?limit=50")
                answers[status] += 1
                if status == 200:
                    latencies.append(time.perf_counter() - started)
                else:
                    await asyncio.sleep(0.1)  # a polite client would wait for the second that Retry-After says

    await asyncio.gather(*(ask() for _ in range(clients)))
    return answers, sorted(latencies)


def main() -> None:
    warnings.simplefilter("ignore", DirtyLocalWarning)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as directory:
        service = Path(directory, "service")
        run_copy(str(ROOT), service, defaults=True, vcs_ref="HEAD", quiet=True)
        environment = make_environment(service, Path(directory))
        with load_postgres_server(service).PostgresServer() as server:
            environment.run(service, "alembic", "upgrade", "head", DATABASE_URL=server.url)
            quiet = {"LOG_LEVEL": "WARNING", "DATABASE_POOL_TIMEOUT": "5"}
            with (
                serving(
                    service, environment, server.url, MAX_CONCURRENT_REQUESTS=LIMITS["bounded"], **quiet
                ) as bounded,
                serving(service, environment, server.url, MAX_CONCURRENT_REQUESTS=LIMITS["unbounded"], **quiet) as all_,
            ):
                print(f"{'clients':>7}  {'':9} {'200/s':>7} {'503/s':>7} {'p50':>8} {'p99':>8}  ms of a 200")
                for clients in CLIENTS:
                    for name, port in (("bounded", bounded), ("unbounded", all_)):
                        answers, latencies = asyncio.run(crowd(port, clients))
                        p50, p99 = (1000 * latencies[int(len(latencies) * share)] for share in (0.5, 0.99))
                        rates = f"{answers[200] / SECONDS:7.0f} {answers[503] / SECONDS:7.0f}"
                        print(f"{clients:7}  {name:9} {rates} {p50:8.1f} {p99:8.1f}", flush=True)


if __name__ == "__main__":
    main()
