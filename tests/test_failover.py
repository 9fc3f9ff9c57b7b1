"""Let the primary of a real PostgreSQL cluster fail in several ways, while the rendered service answers requests.

`.ci/run` tests two of the faults. `make failover` tests all faults with both kinds of replication, and prints a table.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count, cycle

import asyncpg
import httpx2
import pytest

from cluster import Cluster
from conftest import EnvironmentOf, Render, query
from processes import Service, serving, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.faults]

CLIENTS = 25  # more than the connections of the pool
RATE = 100  # requests a second of all clients; half of them write
STEADY = 2.0  # seconds without an error, after which the service counts as recovered
LIMIT = 60.0  # seconds

FAULTS: dict[str, Callable[[Cluster], None]] = {
    "switchover": Cluster.switchover,
    "kill": Cluster.kill,
    "kill, standby late": Cluster.kill_ahead,
    "freeze": Cluster.freeze,
    "partition": Cluster.partition,
}
QUICK = [("switchover", False), ("kill", True)]
CASES = [(fault, synchronous) for fault in FAULTS for synchronous in (False, True)]


class Attempts:
    """The start, the end and the success of each write. Times are those of `time.monotonic`."""

    def __init__(self) -> None:
        self._attempts: list[tuple[float, float, bool]] = []

    def add(self, started: float, succeeded: bool) -> None:
        self._attempts.append((started, time.monotonic(), succeeded))

    def recovered_at(self, fault: float) -> float:
        """Return when writes worked again, after the longest time without success.

        By then, all earlier attempts have ended, and no later attempt fails.
        """
        successes = sorted(end for _, end, succeeded in self._attempts if succeeded and end > fault)
        gaps = zip([fault, *successes], successes, strict=False)
        recovered = max(gaps, key=lambda gap: gap[1] - gap[0], default=(0.0, fault + LIMIT))[1]
        earlier = (end for start, end, _ in self._attempts if start < recovered)
        return max(recovered, *earlier, *(start for start, _, succeeded in self._attempts if not succeeded))

    def is_steady(self, fault: float) -> bool:
        return self.recovered_at(fault) + STEADY < time.monotonic() < max(end for _, end, _ in self._attempts) + 0.5


class Load:
    """Sends requests at a constant rate, and writes to the cluster directly, to compare.

    Attributes:
        acknowledged: the names of the items that the service reported as created.
        failures: the responses with an error status.
    """

    def __init__(self, service: Service, cluster: Cluster) -> None:
        self._service = service
        self._cluster = cluster
        self.acknowledged: set[str] = set()
        self.failures: list[httpx2.Response] = []
        self.slowest = 0.0
        self.through_service = Attempts()
        self.direct = Attempts()
        self._numbers = count()
        self._stopped = False

    def is_steady(self, fault: float) -> bool:
        return self.direct.is_steady(fault) and self.through_service.is_steady(fault)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with (
            httpx2.AsyncClient(base_url=self._service.url, timeout=LIMIT) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(CLIENTS):
                tasks.create_task(self._send(client, number / RATE))
            tasks.create_task(self._write_directly())
            try:
                yield
            finally:
                self._stopped = True

    async def _send(self, client: httpx2.AsyncClient, delay: float) -> None:
        """Write and read in turn, until stopped."""
        due = time.monotonic() + delay
        for send in cycle((self._post, self._get)):
            await asyncio.sleep(due - time.monotonic())
            if self._stopped:
                return
            await send(client)
            due = max(due + CLIENTS / RATE, time.monotonic())

    async def _post(self, client: httpx2.AsyncClient) -> None:
        started, name = time.monotonic(), f"item {next(self._numbers)}"
        response = await client.post("/api/v1/items", json={"name": name})
        self.through_service.add(started, response.status_code == 201)
        self._check(response, 201, started)
        if response.status_code == 201:
            self.acknowledged.add(name)

    async def _get(self, client: httpx2.AsyncClient) -> None:
        started = time.monotonic()
        self._check(await client.get("/api/v1/items?limit=1"), 200, started)

    def _check(self, response: httpx2.Response, expected: int, started: float) -> None:
        self.slowest = max(self.slowest, time.monotonic() - started)
        if response.status_code != expected:
            self.failures.append(response)

    async def _write_directly(self) -> None:
        """Write with one connection. When it fails, try the hosts in turn every 50 ms."""
        for port in cycle(self._cluster.ports):
            started = time.monotonic()
            connection = None
            try:
                async with asyncio.timeout(0.5):
                    connection = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres")
                while not self._stopped:
                    started = time.monotonic()
                    async with asyncio.timeout(0.5):
                        await connection.execute("INSERT INTO direct VALUES (1)")
                    self.direct.add(started, succeeded=True)
                    await asyncio.sleep(0.05)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                self.direct.add(started, succeeded=False)
            finally:
                if connection is not None:
                    connection.terminate()
            if self._stopped:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("fault", "synchronous"),
    CASES if os.environ.get("FAULTS") == "all" else QUICK,
    ids=lambda value: value if isinstance(value, str) else "synchronous" if value else "asynchronous",
)
def test_service_survives_a_failover(
    render: Render,
    environment: EnvironmentOf,
    record_property: Callable[[str, object], None],
    fault: str,
    synchronous: bool,
) -> None:
    project = render()
    python = environment(project)
    with Cluster(synchronous=synchronous, proxied=fault == "partition") as cluster:
        url = cluster.url.replace("/postgres?", "/service?")
        python.script(project, "scripts/init_db.py", DATABASE_URL=url)
        query(cluster.url, "CREATE TABLE direct (number integer)")
        with serving(project, python, url) as service:
            load = Load(service, cluster)
            started_at = asyncio.run(fail(load, cluster, FAULTS[fault]))
            log = service.output()
        found = {name for (name,) in query(url, "SELECT name FROM my_service.item")}
    lost = load.acknowledged - found
    own = load.direct.recovered_at(started_at) - started_at
    seconds = load.through_service.recovered_at(started_at) - started_at
    row = (
        fault,
        "synchronous" if synchronous else "asynchronous",
        len(load.acknowledged),
        len(load.acknowledged & found),
        len(lost),
        len(load.failures),
        f"{own:.1f}",
        f"{seconds:.1f}",
        f"{load.slowest:.1f}",
    )
    record_property("failover", "|".join(map(str, row)))
    print(row)
    assert not lost or not synchronous
    assert seconds < own + 2
    assert {(failure.status_code, "retry-after" in failure.headers) for failure in load.failures} <= {(503, True)}
    check_log(log, load)


def check_log(log: str, load: Load) -> None:
    """Check that the log has the reason for each failed request."""
    for failure in load.failures:
        lines = [line for line in log.splitlines() if failure.headers["x-request-id"] in line]
        assert any(re.search(r"\breason\b|timeout_seconds|overload", line) for line in lines), lines


async def fail(load: Load, cluster: Cluster, fault: Callable[[Cluster], None]) -> float:
    """Cause a fault under load, wait until writes work again, and heal it. Return when the fault began."""
    async with load.running():
        await asyncio.to_thread(wait_until, lambda: len(load.acknowledged) > 100)
        started_at = time.monotonic()
        await asyncio.to_thread(fault, cluster)
        await asyncio.to_thread(wait_until, lambda: load.is_steady(started_at), LIMIT)
        cluster.heal()
        await asyncio.sleep(STEADY)
    return started_at
