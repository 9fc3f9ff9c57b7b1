"""Compare the service with a peer when the database or the process fails under load: `make bench-failures`.

Eight clients create and read items, one request after the other. After a failed request, a client waits for 0.1 s. The
database is 2 ms away, as in another zone of a provider. PostgreSQL stores each commit. In the failovers, replication is
synchronous, so the database loses no commit. The numbers of requests are sums of all runs, the times are medians.
Recovery is the time from the start of the fault until the last request that fails or takes more than 1 s has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import failure_table
from harness import BenchmarkError, Http, command, free_port
from health import Forwarding, forwarding, send
from subjects import PACKAGES, ROOT, Subject, create_database, database_url, fill, sql, versions, workshop

sys.path.insert(0, str(ROOT / "tests"))
from conftest import load_postgres_server

CLIENTS = 8
SECONDS = 11.0  # of load for each fault
BEFORE = 1.0  # seconds of load before the fault
OUTAGE = 2.0  # seconds between the end of a server and its repair
FREEZE = 5.0  # seconds
TIMEOUT = 8.0  # seconds after which a client gives up
SLOW = 1.0  # seconds
PAUSE = 0.1  # seconds
NEAR, FAR = 0.002, 0.05  # seconds to the database and back

TABLES = {"ours": "my_service.item", "peer": "item_model"}
READINESS = {"ours": "/health/ready", "peer": "/api/health"}


class Stage:
    """A service, the primary of its database, and the proxy between them."""

    def __init__(self, module: Any, server: Any, proxy: Forwarding) -> None:
        self.module = module
        self.server = server
        self.proxy = proxy
        self.port = free_port()
        self._service = ExitStack()

    def start(self, subject: Subject) -> None:
        self._service.enter_context(subject.serving(self.port))

    def stop(self) -> None:
        """Send SIGTERM, and wait for the end of the process."""
        self._service.close()

    def add_standby(self) -> Any:
        """Return a new standby. A commit of the primary waits until the standby has it."""
        primary = self.server

        class Standby(self.module.PostgresServer):  # type: ignore[misc, name-defined]
            def _initialize(self, binaries: Path, data: Path) -> None:
                source = f"host=127.0.0.1 port={primary.port} user=postgres"
                copy = [str(binaries / "pg_basebackup"), "-d", source, "-R", "-c", "fast", "-D", str(data)]
                subprocess.run(copy, check=True, **self._run_as)

        standby = Standby()
        standby.start()
        sql(primary.url, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        while sql(primary.url, "SELECT sync_state FROM pg_stat_replication") != "sync":
            time.sleep(0.05)
        return standby


# Each function prepares until its `yield`, then lets something fail, and returns when it is repaired.
Fault = Callable[[Stage, Subject], Iterator[None]]


def distance(stage: Stage, subject: Subject) -> Iterator[None]:
    stage.proxy.tell("round_trip", FAR)
    yield


def migration(stage: Stage, subject: Subject) -> Iterator[None]:
    yield
    sql(database_url(subject), f"ALTER TABLE {TABLES[subject.name]} ALTER name TYPE varchar(200)", "SELECT 1")


def restart(stage: Stage, subject: Subject) -> Iterator[None]:
    yield
    stage.stop()
    stage.start(subject)


def freeze(stage: Stage, subject: Subject) -> Iterator[None]:
    yield
    send(stage.server, signal.SIGSTOP)
    time.sleep(FREEZE)
    send(stage.server, signal.SIGCONT)


def kill(stage: Stage, subject: Subject) -> Iterator[None]:
    yield
    kill_server(stage.server)
    time.sleep(OUTAGE)
    stage.server.start()


def failover(stage: Stage, subject: Subject) -> Iterator[None]:
    standby = stage.add_standby()
    yield
    kill_server(stage.server)
    move(stage, standby)


def failover_of_lost_host(stage: Stage, subject: Subject) -> Iterator[None]:
    standby = stage.add_standby()
    yield
    stage.proxy.tell("forget")
    kill_server(stage.server)
    move(stage, standby)


def kill_server(server: Any) -> None:
    send(server, signal.SIGSTOP)  # so that no process is started meanwhile
    send(server, signal.SIGKILL)
    server._process.wait()


def move(stage: Stage, standby: Any) -> None:
    time.sleep(OUTAGE)
    sql(standby.url, "SELECT pg_promote()")
    stage.proxy.tell("target", standby.port)
    stage.server.close()
    stage.server = standby


FAULTS: dict[str, Fault] = {
    f"database {FAR * 1000:.0f} ms away": distance,
    "compatible migration": migration,
    "SIGTERM and start of the service": restart,
    f"database frozen for {FREEZE:.0f} s": freeze,
    f"database killed, restarted after {OUTAGE:.0f} s": kill,
    f"primary killed, failover after {OUTAGE:.0f} s": failover,
    f"host of the primary lost, failover after {OUTAGE:.0f} s": failover_of_lost_host,
}


class Load:
    """Requests of all clients, and checks of readiness."""

    def __init__(self, subject: Subject, port: int) -> None:
        self._subject = subject
        self._port = port
        self._deadline = time.monotonic() + SECONDS
        self.acknowledged: set[str] = set()
        self.results: list[tuple[float, float, str]] = []
        """The start, the end, and "" or the kind of failure."""
        self.unready = 0.0
        """Seconds in which readiness was 503."""

    async def run(self, fault: Iterator[None]) -> float:
        """Return when the fault began."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._check())
            for _ in range(CLIENTS):
                tasks.create_task(self._ask())
            await asyncio.sleep(BEFORE)
            began = time.monotonic()
            await asyncio.to_thread(next, fault, None)
        return began

    async def _ask(self) -> None:
        client: Http | None = None
        routes = self._subject.routes
        while time.monotonic() < self._deadline:
            for route in (routes["create"], routes["read by id"]):
                body = route.body()
                started = time.monotonic()
                client, status = await attempt(client, self._port, route.method, route.target(), body)
                failure = "" if status == str(route.status) else status
                self.results.append((started, time.monotonic(), failure))
                if failure:
                    await asyncio.sleep(PAUSE)
                elif body:
                    self.acknowledged.add(json.loads(body)["name"])

    async def _check(self) -> None:
        client: Http | None = None
        while time.monotonic() < self._deadline:
            client, status = await attempt(client, self._port, "GET", READINESS[self._subject.name])
            self.unready += PAUSE * (status == "503")
            await asyncio.sleep(PAUSE)

    def recovery(self, began: float) -> float:
        """Return the seconds from the start of the fault until no request fails or is slow."""
        last = max((end for start, end, failure in self.results if failure or end - start > SLOW), default=began)
        return last - began if any(start >= last for start, _, _ in self.results) else math.inf


class Outcome(NamedTuple):
    """Results of the clients in one run, or in several."""

    failures: Counter[str]
    requests: int
    lost: int
    recovery: float
    unready: float

    @classmethod
    def total(cls, runs: Sequence[Outcome]) -> Outcome:
        """Return sums of requests, and medians of times."""
        failures, requests, lost, recovery, unready = zip(*runs, strict=True)
        times = statistics.median(recovery), statistics.median(unready)
        return cls(sum(failures, Counter()), sum(requests), sum(lost), *times)

    def shown(self) -> tuple[str, ...]:
        kinds = ", ".join(
            kind if len(self.failures) == 1 else f"{kind}: {number}" for kind, number in self.failures.most_common()
        )
        return (
            f"{self.failures.total():,} of {self.requests:,}" + (f" ({kinds})" if kinds else ""),
            f"{self.lost:,}",
            f"{self.recovery:.1f}" if self.recovery < math.inf else f"> {SECONDS - BEFORE:.0f}",
            f"{self.unready:.1f}",
        )


async def attempt(client: Http | None, port: int, method: str, path: str, body: bytes = b"") -> tuple[Http | None, str]:
    """Send a request on this connection, or on a new one if it is closed.

    Returns:
        The connection, if it can be used again, and the status or the kind of failure.
    """
    try:
        if client is None or client.closed:
            client = await Http(port).__aenter__()
    except OSError:
        return None, "refused"
    try:
        async with asyncio.timeout(TIMEOUT):
            return client, str(await client.request(method, path, body))
    except TimeoutError:
        failure = "timeout"
    except (OSError, EOFError):
        failure = "cut"
    await client.__aexit__()
    return None, failure


def measure(stage: Stage, subject: Subject, fault: Fault) -> Outcome:
    url, table = database_url(subject), TABLES[subject.name]
    fill(subject)
    sql(url, f"ALTER TABLE {table} ALTER name TYPE varchar(100)", "SELECT 1")
    stage.proxy.tell("round_trip", NEAR)
    steps = fault(stage, subject)
    next(steps)
    stage.start(subject)
    try:
        load = Load(subject, stage.port)
        began = asyncio.run(load.run(steps))
    finally:
        stage.stop()
    return Outcome(
        failures=Counter(failure for *_, failure in load.results if failure),
        requests=len(load.results),
        lost=len(load.acknowledged - set(sql(url, f"SELECT array_agg(name) FROM {table}"))),
        recovery=load.recovery(began),
        unready=load.unready,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-failures", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each service with each fault")
    parser.add_argument("--record", action="store_true", help="write the table into docs/failures.md and README.md")
    arguments = parser.parse_args()
    rounds = range(arguments.rounds)
    with workshop() as place, ExitStack() as stack:
        module = load_postgres_server(place.render("server"))
        server = module.PostgresServer()
        stage = Stage(module, server, stack.enter_context(forwarding(server.port)))
        stack.callback(lambda: stage.server.close())
        server.start()
        # The test server acknowledges commits before they are written. A role's setting overrides this.
        sql(server.url, "ALTER ROLE postgres SET synchronous_commit = on", "SELECT 1")
        urls = [create_database(server, name).replace(f":{server.port}/", f":{stage.proxy.port}/") for name in TABLES]
        subjects = place.ours(urls[0]), place.peer(urls[1])
        used = [versions(subject, PACKAGES) for subject in subjects]
        if used[0] != used[1]:
            raise BenchmarkError(f"The services have different libraries: {used}")
        print(f"{CLIENTS} clients, {used[0]}\n")
        conditions = f"{os.cpu_count()} cores, {len(rounds)} runs of {SECONDS:.0f} s"
        table = f"{datetime.now(UTC):%Y-%m-%d}, {conditions}\n\n{failure_table.HEAD}"
        print(table, end="")
        for name, fault in FAULTS.items():
            runs = [[measure(stage, subject, fault) for subject in subjects] for _ in rounds]
            ours, peer = (Outcome.total(outcomes).shown() for outcomes in zip(*runs, strict=True))
            pairs = [f"{mine} / {theirs}" for mine, theirs in zip(ours[1:], peer[1:], strict=True)]
            row = f"| {' | '.join((name, ours[0], peer[0], *pairs))} |\n"
            print(row, end="", flush=True)
            table += row
    if arguments.record:
        failure_table.record(table)


if __name__ == "__main__":
    command(main)
