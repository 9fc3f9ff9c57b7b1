"""Run the real service, and stop, block, or overload its real PostgreSQL server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from answers import CORNERS
from conftest import Environment, EnvironmentOf, Render, component, query, run_unchecked
from faulty_service import DOWN, HEALTHY, SLACK, Clients, as_root, health, migrate, mounted, proxied, through
from processes import Service, free_port, serving, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def test_health_returns_503_when_the_server_has_no_free_connection(
    service: Path, python: Environment, server: Any
) -> None:
    migrate(service, python, server.url)

    async def take_all_and_ask(running: Service) -> None:
        connections = []
        try:
            while True:
                connections.append(await asyncpg.connect(server.url.replace("+asyncpg", "")))
        except asyncpg.TooManyConnectionsError:
            await connections[0].execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'My Service'"
            )
        try:
            while True:
                connections.append(await asyncpg.connect(server.url.replace("+asyncpg", "")))
        except asyncpg.TooManyConnectionsError:
            await asyncio.to_thread(wait_until, lambda: health(running) == DOWN, seconds=2 + 5 * SLACK)
        finally:
            for connection in connections:
                await connection.close()

    with serving(service, python, server.url) as running:
        assert health(running) == HEALTHY
        asyncio.run(take_all_and_ask(running))
        wait_until(lambda: health(running) == HEALTHY)


def test_health_returns_503_when_the_server_is_a_standby(service: Path, python: Environment, server: Any) -> None:
    migrate(service, python, server.url)
    server.stop()
    (server.directory / "data" / "standby.signal").touch()
    server.start()
    with serving(service, python, server.url) as running:
        assert health(running) == DOWN


def test_health_returns_200_while_the_pool_is_exhausted(service: Path, python: Environment, server: Any) -> None:
    migrate(service, python, server.url)
    pool = {"DATABASE_POOL_SIZE": "2", "DATABASE_MAX_OVERFLOW": "0", "DATABASE_POOL_TIMEOUT": "0.5"}
    with serving(service, python, server.url, **pool) as running, ThreadPoolExecutor(32) as executor:
        busy = [executor.submit(httpx2.get, f"{running.url}/api/v1/sleep/5", timeout=30) for _ in range(2)]
        wait_until(lambda: running.get("/api/v1/pool").json()["in_use"] == 2)
        refused = [executor.submit(httpx2.get, f"{running.url}/api/v1/items", timeout=30) for _ in range(20)]
        wait_until(lambda: health(running) == HEALTHY, seconds=3)
        answers = [future.result() for future in refused]
        assert {(answer.status_code, "retry-after" in answer.headers) for answer in answers} == {(503, True)}
        assert [future.result().status_code for future in busy] == [200, 200]
        assert running.get("/api/v1/pool").json()["in_use"] == 0


def test_pool_recovers_after_a_server_restart_under_traffic(service: Path, python: Environment, server: Any) -> None:
    migrate(service, python, server.url)
    with serving(service, python, server.url) as running, ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda _: httpx2.get(f"{running.url}/api/v1/items"), range(16)))
        server.stop()
        server.start()
        assert running.get("/api/v1/items").status_code == 200
        in_flight = executor.submit(httpx2.get, f"{running.url}/api/v1/sleep/20", timeout=30)
        wait_until(lambda: running.get("/api/v1/pool").json()["in_use"] == 1)
        server.stop()
        server.start()
        answers = list(executor.map(lambda _: httpx2.get(f"{running.url}/api/v1/items").status_code, range(32)))
        assert answers == [200] * 32
        assert in_flight.result().status_code == 503


def test_failed_and_canceled_requests_leave_no_rows_or_connections(
    service: Path, python: Environment, server: Any
) -> None:
    migrate(service, python, server.url)
    with serving(service, python, server.url) as running:
        assert running.client.post("/api/v1/write-and-fail").status_code == 500
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.get(f"{running.url}/api/v1/sleep/1", timeout=0.3)
        wait_until(lambda: running.get("/api/v1/pool").json()["in_use"] == 0)
        assert query(server.url, "SELECT name FROM orders.item") == []
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        assert query(server.url, idle) == [(0,)]


def fail_with(code: str, message: str) -> list[str]:
    """Return statements that fail as if the server had raised the error itself."""
    return [f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '{message}'; END $$"]


def lock_after(first: int, second: int) -> list[str]:
    """Return statements that take two locks. Two sessions that take them in the other order are in a deadlock."""
    return [
        "SET LOCAL statement_timeout = 0",
        "SET LOCAL deadlock_timeout = '50ms'",
        f"SELECT pg_advisory_xact_lock({first}), pg_sleep(0.3)",
        f"SELECT pg_advisory_xact_lock({second})",
    ]


NO_LIMIT = "SET LOCAL statement_timeout = 0"


def test_every_database_error_is_503_with_one_log_line(service: Path, python: Environment, database: str) -> None:
    migrate(service, python, database)
    limits = {
        "DATABASE_STATEMENT_TIMEOUT": "0.2",
        "DATABASE_COMMAND_TIMEOUT": "1",
        "DATABASE_POOL_SIZE": "2",
        "DATABASE_MAX_OVERFLOW": "0",
        "DATABASE_POOL_TIMEOUT": "0.5",
        "DATABASE_SLOW_QUERY_THRESHOLD": "60",
        "LOG_FORMAT": "json",
    }
    with (
        proxied(database) as (proxy, url),
        serving(service, python, url, **limits) as running,
        ThreadPoolExecutor(4) as executor,
    ):

        def run(name: str, *statements: str) -> Future[httpx2.Response]:
            headers = {"X-Request-ID": name}
            address = f"{running.url}/api/v1/run"
            return executor.submit(httpx2.post, address, json=statements, headers=headers, timeout=30)

        def in_use(number: int) -> bool:
            return bool(running.get("/health/db").json()["pool"]["in_use"] == number)

        failing = {
            name: run(name, *statements).result()
            for name, statements in {
                "statement": ["SELECT pg_sleep(5)"],
                "command": [NO_LIMIT, "SELECT pg_sleep(5)"],
                "disk": fail_with("53100", "no space left on device"),
                "memory": fail_with("53200", "out of memory"),
                "read-only": ["SET TRANSACTION READ ONLY", "CREATE TABLE orders.never (id integer)"],
            }.items()
        }
        holder = run("holder", NO_LIMIT, "LOCK TABLE orders.item", "SELECT pg_sleep(0.6)")
        wait_until(lambda: in_use(1))
        failing["lock"] = run("lock", "SET LOCAL lock_timeout = '100ms'", "LOCK TABLE orders.item").result()
        busy = [run(f"busy-{number}", NO_LIMIT, "SELECT pg_sleep(0.8)") for number in range(2)]
        wait_until(lambda: in_use(2))
        failing["pool"] = run("pool").result()
        assert [future.result().status_code for future in (holder, *busy)] == [200] * 3
        deadlock = [run("first", *lock_after(1, 2)), run("second", *lock_after(2, 1))]
        victims = {name: future.result() for name, future in zip(("first", "second"), deadlock, strict=True)}
        assert sorted(response.status_code for response in victims.values()) == [200, 503]
        failing |= {name: response for name, response in victims.items() if response.status_code == 503}
        cut = run("cut", NO_LIMIT, "SELECT pg_sleep(5)")
        wait_until(lambda: in_use(1))
        proxy.drop()
        failing["cut"] = cut.result()
        wait_until(lambda: running.get("/api/v1/items").status_code == 200)
        wait_until(lambda: '"logger": "access", "request_id": "cut"' in running.output())
        log = running.output()

    lines = [json.loads(line) for line in log.splitlines()]
    reasons = {
        "statement": "canceling statement due to statement timeout",
        "command": "TimeoutError: no answer in time",
        "disk": "no space left on device",
        "memory": "out of memory",
        "read-only": "cannot execute CREATE TABLE in a read-only transaction",
        "lock": "canceling statement due to lock timeout",
        "first": "deadlock detected",
        "second": "deadlock detected",
        "cut": "connection",
    }
    for name, response in failing.items():
        problem = (response.status_code, response.headers["content-type"], response.headers.get("retry-after"))
        assert problem == (503, "application/problem+json", "1"), name
        logged = [line for line in lines if line.get("request_id") == name and line["level"] != "info"]
        assert len(logged) == 1, (name, logged)
        if name == "pool":
            assert (logged[0]["event"], logged[0]["timeout_seconds"]) == ("connection_pool_timeout", 0.5)
        else:
            assert logged[0]["event"] == "database_unavailable"
            assert reasons[name] in logged[0]["reason"]
    assert "Traceback" not in log


def test_full_disk_is_503_until_there_is_space(service: Path, python: Environment, server: Any) -> None:
    migrate(service, python, server.url)
    disk = server.directory / "disk"
    create = ["CREATE TABLE orders.big TABLESPACE tiny AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)"]
    owner = server.directory.stat().st_uid
    with mounted(disk, "-t", "tmpfs", "-o", f"size=2M,mode=700,uid={owner}", "tmpfs"):
        query(server.url, f"CREATE TABLESPACE tiny LOCATION '{disk}'")
        with serving(service, python, server.url) as running:
            refused = running.client.post("/api/v1/run", json=create)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            wait_until(lambda: "database_unavailable" in running.output())
            assert running.output().count("No space left on device") == 1
            as_root("mount", "-o", "remount,size=20M", disk)
            assert running.client.post("/api/v1/run", json=create).status_code == 200
        server.stop()


def test_connections_to_a_silent_server_are_replaced(service: Path, python: Environment, database: str) -> None:
    migrate(service, python, database)
    with (
        proxied(database) as (proxy, url),
        serving(service, python, url, DATABASE_CONNECT_TIMEOUT="1", DATABASE_COMMAND_TIMEOUT="2") as running,
        ThreadPoolExecutor(4) as executor,
    ):

        def ask(count: int = 4) -> set[int]:
            """Send simultaneous requests, and return their statuses."""
            addresses = [f"{running.url}/api/v1/items"] * count
            return {response.status_code for response in executor.map(partial(httpx2.get, timeout=30), addresses)}

        def idle(count: int) -> None:
            assert ask(count) == {200}
            wait_until(lambda: running.get("/health/db").json()["pool"]["in_use"] == 0)
            time.sleep(1.1)  # until the service pings connections before it uses them

        # A firewall has forgotten the connections: the ping fails after 2 s, and a new connection works.
        idle(4)
        proxy.forget()
        started = time.monotonic()
        assert ask() == {200}
        assert time.monotonic() - started < 2 + 5 * SLACK
        # Nothing answers: the ping and the new connection fail.
        idle(4)
        proxy.silence()
        started = time.monotonic()
        assert ask() == {503}
        assert time.monotonic() - started < 3 + 5 * SLACK
        proxy.speak()
        wait_until(lambda: ask() == {200}, seconds=2 + 5 * SLACK)
        # The connection was in use a moment ago, so nothing pings it. DATABASE_COMMAND_TIMEOUT ends the wait.
        assert ask(1) == {200}
        proxy.silence()
        started = time.monotonic()
        assert ask(1) == {503}
        assert time.monotonic() - started < 2 + 5 * SLACK
        proxy.speak()
        wait_until(lambda: ask() == {200}, seconds=2 + 5 * SLACK)
        assert "Traceback" not in running.output()


def test_requests_continue_while_a_column_is_widened(service: Path, python: Environment, database: str) -> None:
    migrate(service, python, database)
    with serving(service, python, database) as running:
        address = running.client.post("/api/v1/items", json={"name": "Teapot"}).headers["Location"]

        def create(client: httpx2.Client) -> httpx2.Response:
            return client.post("/api/v1/items", json={"name": f"{time.monotonic_ns()}"})

        with (
            Clients(running.url, lambda client: client.get("/api/v1/items"), 4) as lists,
            Clients(running.url, lambda client: client.get(address), 2) as reads,
            Clients(running.url, create, 2) as creates,
            Clients(running.url, lambda client: client.patch(address, json={"name": "Teapot"}), 2) as updates,
        ):
            for length in (200, 300, 400):
                before = lists.count()
                wait_until(lambda before=before: lists.count() > before + 40)  # type: ignore[misc]
                query(database, f"ALTER TABLE orders.item ALTER name TYPE varchar({length})")
            before = lists.count()
            wait_until(lambda: lists.count() > before + 40)
        assert lists.statuses() == reads.statuses() == {200}
        assert creates.statuses() - {201, 503} == set()
        assert updates.statuses() - {200, 503} == set()
        assert creates.count(201) > 3
        assert updates.count(200) > 3


def test_graceful_shutdown_finishes_requests_in_flight(service: Path, python: Environment, server: Any) -> None:
    migrate(service, python, server.url)
    with serving(service, python, server.url, SHUTDOWN_DELAY="0.5") as running, ThreadPoolExecutor(1) as executor:
        late = executor.submit(httpx2.post, f"{running.url}/api/v1/write-and-sleep", timeout=30)
        wait_until(lambda: running.get("/api/v1/pool").json()["in_use"] == 1)
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: running.get("/health/ready").status_code == 503, seconds=0.4)
        assert late.result().status_code == 200
        assert running.process.wait(10) == 0
        assert query(server.url, "SELECT name FROM orders.item") == [("late",)]


def test_readiness_fails_until_migrations_are_applied(service: Path, python: Environment, server: Any) -> None:
    with serving(service, python, server.url) as running:
        assert health(running) == (200, 200, 503)
        migrate(service, python, server.url)
        wait_until(lambda: health(running) == HEALTHY, seconds=2 + 5 * SLACK)


def test_blocked_migration_fails_after_its_lock_timeout(service: Path, python: Environment, server: Any) -> None:
    migrate(service, python, server.url)

    async def block_and_migrate() -> subprocess.CompletedProcess[str]:
        reader = await asyncpg.connect(server.url.replace("+asyncpg", ""))
        async with reader.transaction():
            await reader.fetch("SELECT * FROM orders.item")
            variables = python.variables(service, DATABASE_URL=server.url, DATABASE_MIGRATION_LOCK_TIMEOUT="0.5")
            command = [str(python.python), "-m", "alembic", "downgrade", "base"]
            finished = await asyncio.to_thread(run_unchecked, *command, cwd=service, **variables)
        await reader.close()
        return finished

    finished = asyncio.run(block_and_migrate())
    assert finished.returncode != 0
    assert "DATABASE_MIGRATION_LOCK_TIMEOUT" in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    python.run(service, "alembic", "current", "--check-heads", DATABASE_URL=server.url)


SLOW_MIGRATION = """
    op.execute("CREATE TABLE orders.once (id integer)")
    op.execute("INSERT INTO orders.once VALUES (1)")
    op.execute("SELECT pg_sleep(0.3)")
    with op.get_context().autocommit_block():
        op.create_index("ix_once_id", "once", ["id"], schema="orders", postgresql_concurrently=True)
"""


def test_concurrent_upgrades_apply_each_migration_once(service: Path, python: Environment, server: Any) -> None:
    created = run_unchecked(
        *(python.python, "-m", "alembic", "revision", "-m", "once"), cwd=service, **python.variables(service)
    )
    assert created.returncode == 0, created.stderr
    revision = next((service / "alembic" / "versions").glob("*_once.py"))
    revision.write_text(revision.read_text().replace("    pass\n", SLOW_MIGRATION, 1))
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda _: migrate(service, python, server.url), range(8)))
    assert query(server.url, "SELECT id FROM orders.once") == [(1,)]


@pytest.mark.parametrize("search_path", ["public", "orders, public"])
def test_role_with_rights_only_on_its_schema_can_migrate_and_serve(
    service: Path, python: Environment, server: Any, search_path: str
) -> None:
    for statement in (
        "CREATE ROLE limited LOGIN",
        "REVOKE CREATE, TEMPORARY ON DATABASE postgres FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "CREATE SCHEMA orders AUTHORIZATION limited",
        f"ALTER ROLE limited SET search_path = {search_path}",
    ):
        query(server.url, statement)
    url = server.url.replace("postgres@", "limited@")
    migrate(service, python, url)
    python.run(service, "alembic", "check", DATABASE_URL=url)
    with serving(service, python, url) as running:
        assert running.client.post("/api/v1/items", json={"name": "Teapot"}).status_code == 201
        assert health(running) == HEALTHY
    python.run(service, "alembic", "downgrade", "base", DATABASE_URL=url)
    assert query(server.url, "SELECT nspname FROM pg_namespace WHERE nspname = 'orders'") == [("orders",)]


def test_reset_refuses_a_database_that_was_migrated_in_production(
    service: Path, python: Environment, server: Any
) -> None:
    production = {"ENVIRONMENT": "production", "SECRET_KEY": "0123456789abcdefghijklmnopqrstuv"}
    migrate(service, python, server.url, **production)
    variables = python.variables(service, DATABASE_URL=server.url)
    reset = [str(python.python), "scripts/init_db.py", "--reset", "--yes"]
    finished = run_unchecked(*reset, cwd=service, **variables)
    assert finished.returncode == 1
    assert "production" in finished.stderr
    migrate(service, python, server.url)
    assert run_unchecked(*reset, cwd=service, **variables).returncode == 1


def test_database_is_created_without_the_database_postgres(service: Path, python: Environment, server: Any) -> None:
    query(server.url.rpartition("/")[0] + "/template1", "DROP DATABASE postgres")
    created = server.url.rpartition("/")[0] + "/created"
    for word in ("created", "exists"):
        finished = python.script(service, "scripts/init_db.py", DATABASE_URL=created)
        assert f"database {word}" in finished.stdout


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def pgbouncer(program: str, server: Any, directory: Path, *options: str) -> Iterator[int]:
    """Start PgBouncer in transaction mode with 3 server connections. Yield its port."""
    port = free_port()
    directory.mkdir()
    (directory / "users").write_text('"postgres" ""\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {directory}/users\n"
        "pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 200\n" + "\n".join(options) + "\n"
    )
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_nobody = {"user": "nobody"}
        for parent in [directory, *directory.parents]:
            if parent.is_relative_to("/tmp/pytest-of-root"):
                parent.chmod(0o755)
    process = subprocess.Popen([program, "-q", str(directory / "pgbouncer.ini")], **as_nobody)
    try:
        wait_until(lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


# PgBouncer 1.21 and newer supports prepared statements in transaction mode. Older releases do not.
@pytest.mark.parametrize(
    ("variable", "setting"),
    [("PGBOUNCER", True), ("PGBOUNCER", False), ("NEWEST_PGBOUNCER", True)],
    ids=["with-setting", "without-setting", "newest-with-setting"],
)
def test_pgbouncer_works_only_with_its_setting(
    service: Path, python: Environment, server: Any, tmp_path: Path, variable: str, setting: bool
) -> None:
    program = component(variable, "pgbouncer")
    migrate(service, python, server.url)
    # Without the setting, the service sends timeouts as startup parameters. PgBouncer rejects them by default.
    ignored = "ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout"
    with pgbouncer(program, server, tmp_path / "pgbouncer", ignored) as port:
        url = through(port, server)
        variables = {"DATABASE_PGBOUNCER": str(setting), "DATABASE_MIGRATION_URL": server.url}
        with (
            serving(service, python, url, **variables) as one,
            serving(service, python, url, **variables) as other,
            ThreadPoolExecutor(16) as executor,
        ):
            addresses = [running.url for running in (one, other)] * 100

            def work(task: tuple[int, str]) -> int:
                number, address = task
                created = httpx2.post(f"{address}/api/v1/items", json={"name": f"{number}"}, timeout=30)
                if created.status_code != 201:
                    return created.status_code
                return httpx2.get(f"{address}{created.headers['Location']}", timeout=30).status_code

            statuses = list(executor.map(work, enumerate(addresses)))
            assert (statuses == [200] * 200) is setting
            if setting:
                assert health(one) == health(other) == HEALTHY
                stored = query(server.url, "SELECT count(*) FROM orders.item")
                assert stored == [(200,)]


PARENT_AND_CHILD = """
    op.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(5))")
    op.execute("CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent ON DELETE CASCADE)")
    op.execute("INSERT INTO parent VALUES (1, 'x')")
    op.execute("INSERT INTO child VALUES (1, 1)")
"""
CHANGED_PARENT = """
    with op.batch_alter_table("parent") as table:
        table.alter_column("name", type_=sa.String(50))
"""


def test_changing_an_sqlite_column_keeps_rows_of_child_tables(project: Render, environment: EnvironmentOf) -> None:
    service = project(**CORNERS["sqlite-bare"])
    python = environment(service)
    url = f"sqlite:///{service}/data.db"
    versions = service / "alembic" / "versions"
    steps = [PARENT_AND_CHILD, CHANGED_PARENT]
    for number, step in enumerate(steps):
        python.run(service, "alembic", "revision", "-m", f"step {number}")
        written = next(versions.glob(f"*_step_{number}.py"))
        written.write_text(written.read_text().replace("    pass\n", step, 1))
    migrate(service, python, url)
    count = "import sqlite3; print(sqlite3.connect('data.db').execute('SELECT count(*) FROM child').fetchone()[0])"
    assert run_unchecked(sys.executable, "-c", count, cwd=service).stdout.strip() == "1"
