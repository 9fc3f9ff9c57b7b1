"""Health checks of a service that is far away from its database: `make bench-health`.

The first table has, for each distance and load, the share of readiness checks that were 200, and their milliseconds.
The second table has the seconds from a failure of the database until readiness is 503, and from the repair until it is
200. TLS needs Debian's PostgreSQL, because the server that pip installs cannot encrypt.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness import Http, Server, command
from subjects import ROOT, Subject, create_database, fill, sql, workshop

sys.path.insert(0, str(ROOT / "tests"))
from conftest import load_postgres_server
from proxy import Proxy

ROUND_TRIPS = (0, 5, 20, 50, 100, 200)
"""Milliseconds."""

CLIENTS = (0, 16, 50, 99)
CHECK_INTERVAL = 0.02
PATIENCE = 20.0
"""Seconds until a check that does not change is given up."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-health", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="measure each row for 2 seconds instead of 5")
    seconds = 2.0 if parser.parse_args().quick else 5.0
    with workshop() as place:
        module = load_postgres_server(place.render("server"))
        kinds: dict[str, Any] = {"plain": module.PostgresServer}
        if shutil.which("openssl") and list(Path("/usr/lib/postgresql").glob("*/bin")):
            kinds["TLS"] = server_with_tls(module.PostgresServer)
        else:
            print(
                "The rows with TLS are skipped. They need openssl, and PostgreSQL of Debian: apt-get install postgresql"
            )
        ours = None
        print(f"{'':5} {'round trip':>10} {'clients':>7} {'ready':>6} {'p50':>8} {'p99':>8} {'API':>6} {'requests':>9}")
        failures: list[str] = []
        for kind, make_server in kinds.items():
            with make_server() as server, forwarding(server.port) as proxy:
                url = create_database(server, "health")
                subject = ours = place.ours(url) if ours is None else with_database(ours, url)
                fill(subject)
                query = "?sslmode=require" if kind == "TLS" else ""
                far = with_database(subject, url.replace(f":{server.port}/", f":{proxy.port}/") + query)
                for round_trip in ROUND_TRIPS:
                    proxy.tell("round_trip", round_trip / 1000)
                    with far.serving() as running:
                        for clients in CLIENTS:
                            shown = asyncio.run(measure(far, running, clients, seconds))
                            print(f"{kind:5} {round_trip:7} ms {clients:7} {shown}", flush=True)
                        if round_trip in (0, 20, 200):
                            for name, fail, repair in faults(server, proxy):
                                times = time_fault(running, fail, repair)
                                failures.append(f"{kind:5} {round_trip:7} ms {name:<10} {times}")
        print(f"\n{'':5} {'round trip':>10} {'failure':<10} {'until 503':>10} {'until 200':>10}")
        print("\n".join(failures))


def with_database(subject: Subject, url: str) -> Subject:
    """Return the same service on another database, which is migrated here."""
    variables = {**subject.variables, "DATABASE_URL": url}
    subprocess.run(
        [subject.command[0], "-m", "alembic", "upgrade", "head"],
        cwd=subject.cwd,
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
    )
    return Subject(subject.name, subject.command, subject.cwd, variables, subject.port_variable, subject.routes)


def server_with_tls(base: Any) -> Any:
    """Return the class of a server from Debian's package, with its own certificate."""

    class TLSServer(base):  # type: ignore[misc]
        def _binaries(self) -> Path:
            return max(Path("/usr/lib/postgresql").glob("*/bin"))

        def _initialize(self, binaries: Path, data: Path) -> None:
            super()._initialize(binaries, data)
            files = (data / "server.key", data / "server.crt")
            create = (
                "openssl",
                "req",
                "-x509",
                "-nodes",
                "-subj",
                "/CN=localhost",
                "-keyout",
                files[0],
                "-out",
                files[1],
            )
            subprocess.run(create, check=True, capture_output=True)
            for file in files:
                file.chmod(0o600)
                shutil.chown(file, data.owner())
            with (data / "postgresql.conf").open("a") as configuration:
                configuration.write("ssl = on\n")

    return TLSServer


class Forwarding:
    """A proxy in its own process, so that it does not slow down the clients."""

    def __init__(self, port: int, connection: Connection) -> None:
        self.port = port
        self._connection = connection

    def tell(self, name: str, *values: float) -> None:
        """Call a method of the proxy, or set an attribute to the value."""
        self._connection.send((name, *values))
        self._connection.recv()


@contextmanager
def forwarding(target: int) -> Iterator[Forwarding]:
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=forward, args=(target, theirs))
    process.start()
    try:
        yield Forwarding(ours.recv(), ours)
    finally:
        process.terminate()
        process.join()


def forward(target: int, connection: Connection) -> None:
    with Proxy(target) as proxy:
        connection.send(proxy.port)
        while True:
            name, *values = connection.recv()
            setattr(proxy, name, *values) if values else getattr(proxy, name)()
            connection.send(None)


async def measure(subject: Subject, server: Server, clients: int, seconds: float) -> str:
    """Return a row: readiness checks that were 200, their milliseconds, requests that were 200, and their number."""
    deadline = time.perf_counter() + seconds
    page = subject.routes["list page"].path
    answered: list[int] = []
    checked: list[tuple[int, float]] = []

    async def ask() -> None:
        async with Http(server.port) as client:
            while time.perf_counter() < deadline:
                answered.append(await client.request("GET", page))

    async def check() -> None:
        async with Http(server.port) as client:
            while time.perf_counter() < deadline:
                started = time.perf_counter()
                status = await client.request("GET", "/health/ready")
                checked.append((status, (time.perf_counter() - started) * 1000))
                await asyncio.sleep(CHECK_INTERVAL)

    await asyncio.gather(check(), *(ask() for _ in range(clients)))
    latencies = sorted(latency for _, latency in checked)
    ready = sum(status == 200 for status, _ in checked) / len(checked)
    api = f"{answered.count(200) / len(answered):6.0%}" if answered else f"{'-':>6}"
    p50, p99 = (latencies[int(len(latencies) * share)] for share in (0.5, 0.99))
    return f"{ready:6.0%} {p50:5.1f} ms {p99:5.1f} ms {api} {len(answered) / seconds:7.0f}/s"


def send(server: Any, number: int) -> None:
    """Send a signal to all processes of a PostgreSQL server."""
    main = server._process.pid
    for pid in (main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def faults(server: Any, proxy: Forwarding) -> list[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    """Return the name of each failure, and the functions that cause and repair it."""

    def set_read_only(value: str) -> None:
        sql(server.url, f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()")

    return [
        ("stop", server.stop, server.start),
        ("freeze", lambda: send(server, signal.SIGSTOP), lambda: send(server, signal.SIGCONT)),
        ("black hole", lambda: proxy.tell("silence"), lambda: proxy.tell("speak")),
        ("read-only", lambda: set_read_only("on"), lambda: set_read_only("off")),
    ]


def time_fault(server: Server, fail: Callable[[], Any], repair: Callable[[], Any]) -> str:
    """Return the seconds until readiness is 503, and until it is 200 again."""
    time_until(server, 200)
    fail()
    down = time_until(server, 503)
    repair()
    return f"{down:8.2f} s {time_until(server, 200):8.2f} s"


def time_until(server: Server, status: int) -> float:
    async def wait() -> float:
        started = time.perf_counter()
        async with Http(server.port) as client:
            while await client.request("GET", "/health/ready") != status:
                if time.perf_counter() - started > PATIENCE:
                    return float("inf")
                await asyncio.sleep(CHECK_INTERVAL)
        return time.perf_counter() - started

    return asyncio.run(wait())


if __name__ == "__main__":
    command(main)
