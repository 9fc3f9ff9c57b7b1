"""Build and run the rendered images and compose files."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from answers import HOSTILE, Answers
from conftest import Render, run
from engine import HARDENED, Compose, Engine
from processes import free_port, is_served, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.containers]

SECRET_KEY = "0123456789abcdefghijklmnopqrstuv"
REVISION = ("--build-arg", "REVISION=abc123")
IMAGES: dict[str, Answers] = {
    "pip-tools": {"database_backend": "sqlite"},
    "uv": {"database_backend": "sqlite", "dependency_tool": "uv", "include_example": False},
    "hostile": HOSTILE,
}


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.require()


@pytest.fixture
def built(engine: Engine, project: Render) -> Iterator[Callable[..., tuple[Path, str]]]:
    tags = []

    def build(**answers: object) -> tuple[Path, str]:
        directory = project(**answers)
        if answers.get("dependency_tool") == "uv":
            run("make", ".venv/.installed", cwd=directory)  # This writes uv.lock.
        tags.append(f"rendered-{uuid4().hex[:8]}")
        engine.build(directory, tags[-1], *REVISION)
        return directory, tags[-1]

    yield build
    for tag in tags:
        engine.try_run("rmi", "--force", tag)


@pytest.mark.parametrize("name", IMAGES)
def test_image_has_only_runtime_files(engine: Engine, built: Callable[..., tuple[Path, str]], name: str) -> None:
    directory, tag = built(**IMAGES[name])
    configuration = engine.inspect(tag)["Config"]
    assert configuration["User"] == "10001:10001"
    if name == "hostile":
        labels = configuration["Labels"]
        assert labels["org.opencontainers.image.revision"] == "abc123"
        assert labels["org.opencontainers.image.description"] == HOSTILE["description"]

    for secret in (".env", "secrets/secret_key", "src/.env", "id_rsa"):
        (directory / secret).parent.mkdir(exist_ok=True)
        (directory / secret).write_text(f"SECRET_KEY={SECRET_KEY}")
    engine.build(directory, tag, *REVISION)
    search = "find /app /root /data -not -path '*/.venv/*' 2>/dev/null || true"
    found = engine.run("run", "--rm", "--entrypoint", "sh", tag, "-c", search)
    top = {Path(line).relative_to("/app").parts[0] for line in found.splitlines() if line.startswith("/app/")}
    assert top == {".venv", "alembic", "alembic.ini", "pyproject.toml", "src"}
    assert not {"tests", ".env", ".git", ".cache"} & {part for line in found.splitlines() for part in Path(line).parts}
    for program in ("gcc", "cc", "make", "git", "uv"):
        assert engine.try_run("run", "--rm", "--entrypoint", "sh", tag, "-c", f"command -v {program}").status != 0, (
            program
        )
    uncompiled = (
        "import pathlib, sys; sys.exit(any(not list((p.parent / '__pycache__').glob(p.stem + '.*.pyc'))"
        " for root in ('.venv/lib', 'src', 'alembic') for p in pathlib.Path(root).rglob('*.py')"
        " if 'lib2to3' not in p.parts and 'tests' not in p.parts))"
    )
    engine.run("run", "--rm", "--entrypoint", "python", tag, "-c", uncompiled)


def test_code_change_reuses_the_dependency_layer(engine: Engine, built: Callable[..., tuple[Path, str]]) -> None:
    directory, tag = built(database_backend="sqlite")
    before = engine.inspect(tag)["RootFS"]["Layers"]
    (directory / "src" / "my_service" / "added.py").write_text("ADDED = 1\n")
    engine.build(directory, tag, *REVISION)
    after = engine.inspect(tag)["RootFS"]["Layers"]
    shared = sum(1 for one, other in zip(before, after, strict=True) if one == other)
    base = len(engine.base("python:3.13-slim")["RootFS"]["Layers"])
    assert before != after
    assert shared >= base + 2  # the working directory and the virtual environment


def test_hardened_container_serves_and_shuts_down_gracefully(
    engine: Engine, built: Callable[..., tuple[Path, str]]
) -> None:
    _, tag = built(database_backend="sqlite")
    port, volume = free_port(), f"data-{uuid4().hex[:8]}"
    options = [*HARDENED, f"--publish=127.0.0.1:{port}:8000", f"--volume={volume}:/data"]
    options += ["--env=DATABASE_URL=sqlite:////data/service.db", f"--env=SECRET_KEY={SECRET_KEY}"]
    url = f"http://127.0.0.1:{port}"
    try:
        with engine.running(tag, *options) as container:
            wait_until(lambda: is_served(f"{url}/health"), seconds=60)
            assert engine.exec(container, "id", "-u") == "10001"
            assert "CapEff:\t0000000000000000" in engine.exec(container, "cat", "/proc/self/status")
            assert engine.try_run("exec", container, "touch", "/app/written").status != 0
            assert httpx2.get(f"{url}/health/ready").status_code == 503
            # The image's check must not fail with the database: some orchestrators would restart the container.
            wait_until(lambda: engine.is_healthy(container), seconds=30)
            engine.exec(container, "alembic", "upgrade", "head")
            wait_until(lambda: is_served(f"{url}/health/ready"), seconds=30)
            started = time.monotonic()
            with half_a_request(port) as finish, ThreadPoolExecutor(1) as executor:
                stopped = executor.submit(engine.run, "stop", "--time", "25", container)
                time.sleep(1)
                assert not stopped.done()
                assert finish().startswith("HTTP/1.1 201")
                stopped.result()
            assert time.monotonic() - started < 10
            assert engine.inspect(container)["State"]["ExitCode"] == 0
        refused = engine.try_run("run", "--rm", tag)
        assert refused.status == 1
        assert refused.output.startswith("Invalid configuration:")
        assert "DATABASE_URL" in refused.output
        assert "Traceback" not in refused.output
    finally:
        engine.try_run("volume", "rm", "--force", volume)


@pytest.mark.parametrize("tool", ["pip-tools", "uv"])
def test_development_container_runs_checks_and_serves(engine: Engine, project: Render, tool: str) -> None:
    """Do what an editor does: build the image, mount the project, set its owner, run postCreateCommand."""
    directory = project(dependency_tool=tool)
    configuration = json.loads((directory / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    (directory / ".venv").mkdir()  # The `.venv` of the host does not work in the container.
    (directory / ".venv" / ".installed").touch()
    tag, user = f"development-{uuid4().hex[:8]}", configuration["remoteUser"]
    dockerfile = f".devcontainer/{configuration['build']['dockerfile']}"
    engine.build(directory / ".devcontainer", tag, "--file", str(directory / dockerfile))
    options = ["--network=host", f"--volume={directory}:/workspaces/project", "--workdir=/workspaces/project"]
    try:
        with engine.running(tag, *options, command=("sleep", "infinity")) as container:
            engine.exec(container, "chown", "--recursive", f"{user}:", ".")

            def work(command: str) -> str:
                return engine.run("exec", "--user", user, container, "sh", "-c", command)

            work(configuration["postCreateCommand"])
            assert "my_service.db" in work("ls")
            for command in ("make lint typecheck", "make test args='--no-cov -k health'", "git status", "ssh -V"):
                work(command)
            port = free_port()
            work(f"PORT={port} setsid make dev >/tmp/log 2>&1 &")
            wait_until(lambda: is_served(f"http://127.0.0.1:{port}/health/ready"), seconds=60)
            assert configuration["forwardPorts"] == [json.loads(work(SETTING_PORT))]
            engine.exec(container, "chown", "--recursive", "0:0", ".")
    finally:
        engine.try_run("rmi", "--force", tag)


SETTING_PORT = "PYTHONPATH=src .venv/bin/python -c 'from my_service.config import Settings; print(Settings().port)'"


@contextmanager
def half_a_request(port: int) -> Iterator[Callable[[], str]]:
    """Send a part of a POST request. Yield a function that sends the rest and returns the response."""
    body = json.dumps({"name": "in flight"})
    head = "POST /api/v1/items HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"{head}\r\n{body[:5]}".encode())

        def finish() -> str:
            connection.sendall(body[5:].encode())
            return connection.recv(4096).decode()

        yield finish


@contextmanager
def composed(engine: Engine, directory: Path, file: str) -> Iterator[tuple[Compose, str]]:
    """Start a compose file. Yield it, with the URL of the service."""
    port = free_port()
    variables = {"PORT": str(port), "POSTGRES_PORT": str(free_port()), "PUBLISH": f"127.0.0.1:{port}"}
    compose = Compose(engine, directory, file, f"test{uuid4().hex[:8]}", **variables)
    try:
        compose.up()
        yield compose, f"http://127.0.0.1:{port}"
    except BaseException:
        print(compose.logs())
        raise
    finally:
        compose.down("--volumes")


BACKENDS = {"postgresql": {"schema_namespace": "select"}, "sqlite": {"database_backend": "sqlite"}}


@pytest.mark.parametrize(
    "answers",
    [{}, {"database_backend": "sqlite", "dependency_tool": "uv", "auth": "jwt"}],
    ids=["postgresql", "sqlite"],
)
def test_suite_passes_in_the_image(engine: Engine, project: Render, answers: Answers) -> None:
    directory = project(**answers)
    if answers.get("dependency_tool") == "uv":
        run("make", ".venv/.installed", cwd=directory)  # This writes uv.lock.
    compose = Compose(engine, directory, "docker-compose.yml", f"test{uuid4().hex[:8]}", POSTGRES_PORT=str(free_port()))
    try:
        if "db" in compose.services:
            compose.up("db")
        output = compose.run_once("test", "-q")
        assert re.search(r"^\d{3} passed in", output, re.MULTILINE), output
        if "db" in compose.services:
            (database,) = compose.containers("db")
            query = ("psql", "--username=postgres", "--dbname=app", "--tuples-only", "--no-align", "--command")
            assert int(engine.exec(database, *query, "SELECT sum(calls) FROM pg_stat_statements")) > 1000
    finally:
        compose.down("--volumes")


def test_new_postgresql_version_refuses_the_data_of_the_old_one(engine: Engine) -> None:
    volume = f"data-{uuid4().hex[:8]}"
    password = "--env=POSTGRES_PASSWORD=app"
    try:
        with engine.running("postgres:17", password, f"--volume={volume}:/var/lib/postgresql/data") as old:
            wait_until(lambda: engine.try_run("exec", old, "pg_isready", "--host=127.0.0.1").status == 0, seconds=60)
            engine.run("stop", old)
        for path in ("/var/lib/postgresql", "/var/lib/postgresql/data"):
            refused = engine.try_run("run", "--rm", password, f"--volume={volume}:{path}", "postgres:18")
            assert refused.status != 0
            assert "/var/lib/postgresql" in refused.output
        with engine.running("postgres:17", f"--volume={volume}:/var/lib/postgresql/data") as old:
            wait_until(lambda: engine.try_run("exec", old, "pg_isready", "--host=127.0.0.1").status == 0, seconds=60)
    finally:
        engine.try_run("volume", "rm", "--force", volume)


@pytest.mark.parametrize("backend", BACKENDS)
def test_development_compose_file_works(engine: Engine, project: Render, backend: str) -> None:
    directory = project(**BACKENDS[backend])
    (directory / ".env").write_text("PROJECT_NAME=From the file\n")
    with composed(engine, directory, "docker-compose.yml") as (compose, url):
        assert_items_outlive_the_containers(compose, url)
        assert httpx2.get(f"{url}/openapi.json").json()["info"]["title"] == "From the file"

        if backend == "postgresql":
            (database,) = compose.containers("db")
            query = ("psql", "--username=postgres", "--dbname=app", "--tuples-only", "--no-align", "--command")
            owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'select'"
            assert engine.exec(database, *query, owners) == "app"
            timeouts = "SELECT array_to_string(rolconfig, ' ') FROM pg_roles WHERE rolname = 'app'"
            assert "statement_timeout=30s" in engine.exec(database, *query, timeouts)
            assert engine.exec(database, *query, "SELECT rolsuper FROM pg_roles WHERE rolname = 'app'") == "f"
            assert int(engine.exec(database, *query, "SELECT count(*) FROM pg_stat_statements")) > 0
            engine.exec(database, *query, "SET ROLE app; CREATE EXTENSION pg_trgm")
        for way in (["downgrade", "base"], ["upgrade", "head"]):
            if engine.program == "docker":
                compose.run("run", "--rm", "migrate", *way)
            else:
                engine.exec(compose.containers("app")[0], "alembic", *way)
            ready = way[1] == "head"
            wait_until(lambda ready=ready: is_served(f"{url}/health/ready") is ready, seconds=5)  # type: ignore[misc]
        assert "(2 new rows)" in compose.run_once("app", "db", "init", "--seed")

        health = directory / "src" / "my_service" / "health.py"
        text = health.read_text("utf-8").replace('HEALTH_PREFIX = "/health"', 'HEALTH_PREFIX = "/alive"')
        health.write_text(text, "utf-8")
        wait_until(lambda: is_served(f"{url}/alive"), seconds=60)


def assert_items_outlive_the_containers(compose: Compose, url: str) -> None:
    # On a busy machine, a health check may time out.
    wait_until(lambda: is_served(f"{url}/health/ready"), seconds=30)
    created = httpx2.post(f"{url}/api/v1/items", json={"name": "kept"}, timeout=30)
    assert created.status_code == 201
    compose.down()
    compose.up()
    item = f"{url}/api/v1/items/{created.json()['id']}"
    # Podman's name server may not answer new containers for up to a minute.
    wait_until(lambda: all(is_served(item, timeout=30) for _ in range(4)), seconds=120)
    assert httpx2.get(item, timeout=30).json()["name"] == "kept"


@pytest.mark.parametrize("backend", BACKENDS)
def test_production_compose_file_works(engine: Engine, project: Render, backend: str) -> None:
    directory = project(**BACKENDS[backend])
    run("make", "secrets", cwd=directory)
    assert run("git", "status", "--porcelain", cwd=directory).stdout == ""
    with composed(engine, directory, "docker-compose.prod.yml") as (compose, url):
        for service in compose.services.keys() - {"db"}:
            for container in compose.containers(service):
                host = engine.inspect(container)["HostConfig"]
                assert host["ReadonlyRootfs"], f"{service} can write to its file system."
                assert "no-new-privileges" in str(host["SecurityOpt"]), f"{service} can gain privileges."
        for container in compose.containers("app"):
            assert "CapEff:\t0000000000000000" in engine.exec(container, "cat", "/proc/1/status")
            environment = engine.inspect(container)["Config"]["Env"]
            for secret in (directory / "secrets").iterdir():
                assert secret.read_text().strip() not in "".join(environment)
        assert_items_outlive_the_containers(compose, url)
        if backend == "postgresql":
            assert_no_request_is_lost(engine, compose, url)
            assert len(proxied_servers(engine, compose)) == 2
        assert "Traceback" not in compose.logs()


def assert_no_request_is_lost(engine: Engine, compose: Compose, url: str) -> None:
    """Stop and start a replica while clients create and read items. Every request must succeed."""
    replica = compose.containers("app")[0]
    answers: Counter[str] = Counter()
    done = threading.Event()

    def load(client: int) -> None:
        number = 0
        while not done.is_set():
            number += 1
            try:
                created = httpx2.post(f"{url}/api/v1/items", json={"name": f"{client}-{number}"}, timeout=20)
                answers[f"create {created.status_code}"] += 1
                read = httpx2.get(f"{url}/api/v1/items/{created.json()['id']}", timeout=20)
                answers[f"read {read.status_code}"] += 1
            except httpx2.TransportError as error:
                answers[repr(error)] += 1

    with ThreadPoolExecutor(8) as executor:
        for client in range(8):
            executor.submit(load, client)
        try:
            time.sleep(2)
            engine.run("stop", "--time", "30", replica)
            assert engine.inspect(replica)["State"]["ExitCode"] == 0
            time.sleep(1)
            engine.run("start", replica)
            wait_until(lambda: engine.is_healthy(replica), seconds=60)
            time.sleep(3)
        finally:
            done.set()
    assert answers.keys() == {"create 201", "read 200"}, f"Some requests failed: {answers}"
    assert answers["create 201"] > 50


def proxied_servers(engine: Engine, compose: Compose) -> set[str]:
    """Return the replicas in the last 500 log lines of the proxy."""
    (proxy,) = compose.containers("proxy")
    lines = engine.run("logs", proxy).splitlines()
    return {line.split(" app/")[1].split()[0] for line in lines[-500:] if " public app/app" in line}
