"""Several processes of the service behind PgBouncer, as replicas share one database."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from harness import PATIENCE, BenchmarkError, Load, free_port, is_open, load_all
from report import Table
from subjects import Subject, database_url, fill, sql

SECTION = "processes"
CLIENTS = 16  # of all processes together
SERVER_CONNECTIONS = 20


def measure(subject: Subject, table: Table, rounds: int, seconds: float, counts: tuple[int, ...]) -> None:
    """Requests per second, and the server connections of the database, for the same clients on more processes."""
    fill(subject)
    url = database_url(subject)
    address, _, database = url.rpartition("/")
    used = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    with pgbouncer(int(address.rpartition(":")[2]), subject.cwd.with_name("pgbouncer")) as port:
        through = f"postgresql+asyncpg://postgres@127.0.0.1:{port}/{database}"
        for _ in range(rounds):
            for count in counts:
                with ExitStack() as stack:
                    settings = {"DATABASE_URL": through, "DATABASE_PGBOUNCER": "true"}
                    servers = [stack.enter_context(subject.serving(**settings)) for _ in range(count)]
                    for kind in ("read by id", "create"):
                        load_all(servers, subject.routes[kind], CLIENTS, requests=200)
                        result: Load = load_all(servers, subject.routes[kind], CLIENTS, seconds=seconds)
                        name = f"{count} processes, {kind}"
                        table.row(SECTION, f"{name}, rate", "1/s", "more").add(subject.name, result.rate)
                        table.row(SECTION, f"{name}, p99", "ms").add(subject.name, result.percentile(0.99))
                        table.row(SECTION, f"{name}, CPU", "µs").add(subject.name, result.cpu_per_answer)
                    connections = table.row(SECTION, f"{count} processes, connections of the database", "")
                    connections.add(subject.name, float(sql(url, used)))


@contextmanager
def pgbouncer(server_port: int, directory: Path) -> Iterator[int]:
    """Run PgBouncer in transaction mode, and yield its port.

    Raises:
        BenchmarkError: PgBouncer is not installed, or does not start.
    """
    program = which("pgbouncer") or which("/usr/sbin/pgbouncer")
    if program is None:
        raise BenchmarkError("Cannot find pgbouncer. Install it, or leave out the section with --only.")
    port = free_port()
    directory.mkdir(exist_ok=True)
    users, configuration = directory / "users", directory / "pgbouncer.ini"
    users.write_text('"postgres" ""\n')
    configuration.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {users}\npool_mode = transaction\n"
        f"default_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 1000\n"
    )
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:  # PgBouncer refuses to run as root
        as_nobody = {"user": "nobody"}
        for parent in (directory, directory.parent):
            parent.chmod(0o755)
    with subprocess.Popen([program, "-q", configuration], **as_nobody) as process:
        deadline = time.monotonic() + PATIENCE
        try:
            while not is_open(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError(f"PgBouncer does not serve: {configuration}")
                time.sleep(0.01)
            yield port
        finally:
            process.terminate()
