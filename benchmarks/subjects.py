"""Subjects of the benchmarks: the rendered service, two peers, and lower limits for both."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
from copier import run_copy

import peer_items
import vstorm_items
from harness import ROWS, BenchmarkError, Cost, Route, Server, free_port, row_id, run, serving

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from conftest import load_postgres_server  # noqa: E402

LIMITS = Path(__file__).with_name("limits")
PYTHON_VERSION = "3.13"
"""Python version of the images that all templates render."""

PEER, VSTORM = "fastapi_template==6.1.2", "fastapi-fullstack==0.2.21"
PACKAGES = ("fastapi", "starlette", "sqlalchemy", "asyncpg", "pydantic", "uvicorn", "uvloop", "httptools")
PEER_OPTIONS = (
    *("--name", "peer_service", "--api-type", "rest", "--db", "postgresql", "--orm", "sqlalchemy", "--ci", "none"),
    *("--migrations", "--dummy", "--routers", "--gunicorn", "--quiet", "--force"),
)
VSTORM_OPTIONS = ("--minimal", "--no-logfire", "--ai-framework", "none", "--database", "postgresql")
THEIR_LIST, THEIR_CREATE = "list page / dummy", "create / dummy"
"""Ours beside the peer's own example, of two columns in no order, and of an answer without the row."""

PAGE = 50
"""Rows of a list page, wherever one is asked for."""

IDENTITY = {
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@example.com",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "COPIER_SETTINGS_PATH": str(ROOT / "tests" / "copier-settings.yml"),
}


@dataclass(frozen=True)
class Subject:
    """A service that can be started.

    Args:
        port_variable: the environment variable that says where it listens.
        routes: what it can be asked, by the names that all subjects have in common.
    """

    name: str
    command: tuple[str | Path, ...]
    cwd: Path
    variables: Mapping[str, str]
    port_variable: str
    routes: Mapping[str, Route]
    workers_variable: str = ""

    @contextmanager
    def serving(self, port: int | None = None, /, **variables: str) -> Iterator[Server]:
        """Serve on this or a free port, with more settings than its own."""
        port = port or free_port()
        settings = {**self.variables, self.port_variable: str(port), **variables}
        with serving(self.command, self.cwd, port, self.routes["health"].path, settings) as server:
            yield server


class Workshop:
    """A directory to render and install in, and the Python of everything that is measured."""

    def __init__(self, directory: Path, python: Path) -> None:
        self.directory = directory
        self.python = python
        self.uv = Path(sys.executable).with_name("uv")
        self.commit = _git(ROOT, "stash", "create") or _git(ROOT, "rev-parse", "HEAD")
        self.template = self._clone()

    def _clone(self) -> Path:
        """This repository as it is, what git does not track left out: so Copier has nothing to commit."""
        clone = self.directory / "template"
        _git(self.directory, "clone", "--quiet", "--shared", ROOT, clone)
        _git(clone, "checkout", "--quiet", "--detach", self.commit)
        for line in (ROOT / "releases.txt").read_text("utf-8").splitlines():
            if not line.startswith("#"):
                version, commit = line.split()
                _git(clone, "tag", "--force", f"v{version}", commit)
        return clone

    def render(self, name: str = "service", *, version: str = "HEAD", **answers: Any) -> Path:
        project = self.directory / name
        run_copy(str(self.template), project, data=answers, vcs_ref=version, defaults=True, quiet=True, overwrite=True)
        return project

    def install(self, name: str, *requirements: str | Path) -> Path:
        """A new environment with these in it, compiled; its Python is returned."""
        directory = self.directory / name
        run([self.uv, "venv", "--quiet", "--python", self.python, directory], self.directory)
        python = directory / "bin" / "python"
        install: list[str | Path] = [self.uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
        run(install + list(requirements), self.directory)
        return python

    def ours(self, url: str, name: str = "service", **answers: Any) -> Subject:
        """Return a render with these answers, installed from its lockfiles, with a migrated database."""
        project = self.render(name, **answers)
        locked = ("--no-deps", "--require-hashes", "-r", project / "requirements.txt")
        python = self.install(f"{name}-environment", *locked)
        subject = Subject(
            name="ours",
            command=(python, "-m", "my_service"),
            cwd=project,
            variables={
                "PYTHONPATH": str(project / "src"),
                "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
                "ENVIRONMENT": "production",
                "SECRET_KEY": uuid4().hex + uuid4().hex,
                "DATABASE_URL": url,
                "LOG_FORMAT": "json",
            },
            port_variable="PORT",
            routes={
                "health": Route("GET", "/health"),
                **(items := _item_routes("/api/v1/items")),
                THEIR_LIST: items["list page"],
                THEIR_CREATE: items["create"],
            },
        )
        run([python, "-m", "compileall", "-q", "src"], project)
        run([python, "-m", "alembic", "upgrade", "head"], project, **subject.variables)
        return subject

    def signed_in(self, url: str) -> Subject:
        """Return the render with `auth: jwt`. Its requests have the token of a user."""
        subject = replace(self.ours(url, "jwt", auth="jwt"), name="ours, auth: jwt")
        credentials = {"email": "bench@example.com", "password": uuid4().hex}
        with (
            subject.serving() as server,
            httpx2.Client(base_url=f"http://127.0.0.1:{server.port}/api/v1/auth") as client,
        ):
            client.post("/register", json=credentials).raise_for_status()
            token = client.post("/token", json=credentials).raise_for_status().json()["access_token"]
        routes = {name: replace(route, authorization=f"Bearer {token}") for name, route in subject.routes.items()}
        return replace(subject, routes=routes)

    def peer(self, url: str) -> Subject:
        """Return the peer: a new project, started with its `python -m`."""
        project = self.directory / "peer-with-items"
        shutil.copytree(self.generate_peer(), project)
        python = self.install_peer(project, "peer_service", peer_items.FILES)
        subject = Subject(
            name="peer",
            command=(python, "-m", "peer_service"),
            cwd=project,
            variables=peer_settings(url, "PEER_SERVICE_DB_", "BASE") | {"PEER_SERVICE_RELOAD": "False"},
            port_variable="PEER_SERVICE_PORT",
            routes={
                "health": Route("GET", "/api/health"),
                **_item_routes("/api/items", "/"),
                THEIR_LIST: Route("GET", f"/api/dummy/?limit={PAGE}"),
                THEIR_CREATE: Route("PUT", "/api/dummy/", _new_row),
            },
            workers_variable="PEER_SERVICE_WORKERS_COUNT",
        )
        run([python, "-m", "alembic", "upgrade", "head"], project, **subject.variables)
        sql(url, peer_items.TABLE.format("item_model"))
        return subject

    def vstorm(self, url: str) -> Subject:
        """Return the second peer: a new project, started as its Compose file for production does."""
        generator = self.install("vstorm-generator", VSTORM).with_name("fastapi-fullstack")
        run([generator, "create", "vstorm", *VSTORM_OPTIONS], self.directory, FASTAPI_FULLSTACK_RENDER_ONLY="1")
        project = self.directory / "vstorm" / "backend"
        python = self.install_peer(project, "app", vstorm_items.FILES)
        sql(url, peer_items.TABLE.format("items"))
        secrets = {"SECRET_KEY": uuid4().hex, "API_KEY": uuid4().hex}
        return Subject(
            name="vstorm",
            command=(python, "-m", "uvicorn", "app.main:app"),
            cwd=project,
            variables=peer_settings(url, "POSTGRES_", "DB") | {"ENVIRONMENT": "production"} | secrets,
            port_variable="UVICORN_PORT",
            routes={
                "health": Route("GET", "/api/v1/health"),
                **_item_routes("/api/v1/items"),
            },
            workers_variable="WEB_CONCURRENCY",
        )

    def install_peer(self, project: Path, package: str, files: Mapping[str, str]) -> Path:
        """Add text to files, and install the project with `uv sync`; its Python is returned.

        It gets our versions of the libraries that both use, also where its own limit for FastAPI is lower.
        """
        for name, text in files.items():
            (project / name).parent.mkdir(exist_ok=True)
            with (project / name).open("a", encoding="utf-8") as file:
                file.write(text)
        ours = re.findall(r"^[\w.-]+==[\w.]+", (self.render() / "requirements.txt").read_text("utf-8"), re.MULTILINE)
        limits = {"constraint": ours, "override": [pin for pin in ours if pin.startswith("fastapi==")]}
        lines = "".join(f"{kind}-dependencies = {json.dumps(pins)}\n" for kind, pins in limits.items())
        configuration = project / "pyproject.toml"
        before, _, after = configuration.read_text("utf-8").partition("[tool.uv]\n")
        configuration.write_text(f"{before}\n[tool.uv]\n{lines}{after}", "utf-8")
        install: list[str | Path] = [self.uv, "sync", "--quiet", "--no-dev", "--compile-bytecode"]
        run([*install, "--python", self.python], project, UV_PYTHON_DOWNLOADS="never")
        python = project / ".venv" / "bin" / "python"
        run([python, "-m", "compileall", "-q", package], project)
        return python

    def generate_peer(self) -> Path:
        """Render the peer; what its hook installs and checks after that is left out."""
        self.render_peer()
        return self.directory / "peer" / "peer_service"

    def render_peer(self) -> Cost:
        """The cost of its generator alone: the `uv` that its hook calls fails at once, which it is prepared for."""
        generator = self.directory / "peer-generator" / "bin" / "fastapi_template"
        if not generator.exists():
            self.install("peer-generator", PEER)
        stub = self.directory / "stub"
        if not stub.exists():
            stub.mkdir()
            (stub / "uv").write_text("#!/bin/sh\nexit 1\n")
            (stub / "uv").chmod(0o755)
        (self.directory / "peer").mkdir(exist_ok=True)
        path = f"{stub}{os.pathsep}{generator.parent}{os.pathsep}{os.environ['PATH']}"
        return run([generator, *PEER_OPTIONS], self.directory / "peer", **IDENTITY, PATH=path)

    def limit(self, name: str, ours: Subject, url: str) -> Subject:
        """Return a lower limit: `bare` on Starlette and asyncpg, `floor` on the libraries of the service."""
        return replace(
            ours,
            name=name,
            command=(ours.command[0], LIMITS / f"{name}.py"),
            variables={"DATABASE_URL": url},
            routes={kind: route for kind, route in ours.routes.items() if kind not in (THEIR_LIST, THEIR_CREATE)},
        )


READ = row_id(1)
"""The id of the row that is read again and again."""


def _item_routes(path: str, slash: str = "") -> dict[str, Route]:
    """Return the routes of the items at a path. Some services end the path of the list with a slash."""
    return {
        "read by id": Route("GET", f"{path}/{{id}}"),
        "read the same id": Route("GET", f"{path}/{READ}"),
        "list page": Route("GET", f"{path}{slash}?limit={PAGE}"),
        "create": Route("POST", f"{path}{slash}", _new_row, 201),
    }


def _new_row() -> bytes:
    return b'{"name":"%s"}' % uuid4().hex.encode()


def plain(url: str) -> str:
    """A URL as asyncpg itself takes it."""
    return url.replace("+asyncpg", "")


def peer_settings(url: str, prefix: str, base: str) -> dict[str, str]:
    """A database as a peer's variables name it, and for `database_url`, which the peers do not read."""
    address, _, database = url.rpartition("/")
    host, _, port = address.rpartition("@")[2].rpartition(":")
    parts = {"HOST": host, "PORT": port, "USER": "postgres", "PASS": "", base: database}
    return {f"{prefix}{name}": value for name, value in parts.items()} | {"DATABASE_URL": url}


def database_url(subject: Subject) -> str:
    """Return the URL of the subject's database."""
    return subject.variables["DATABASE_URL"]


def sql(url: str, *statements: str) -> Any:
    """Run statements one by one, each its own transaction; the last one's first value is returned."""

    async def work() -> Any:
        connection = await asyncpg.connect(plain(url))
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(work())


@contextmanager
def postgres(workshop: Workshop) -> Iterator[Any]:
    """The server that renders test on, started for this run; what it has is its `url` and `port`."""
    with load_postgres_server(workshop.render("server")).PostgresServer() as server:
        yield server


def create_database(server: Any, name: str) -> str:
    """A new database's URL."""
    sql(server.url, f"CREATE DATABASE {name}", "SELECT 1")
    return str(server.url).rpartition("/")[0] + f"/{name}"


@contextmanager
def subjects(workshop: Workshop) -> Iterator[dict[str, Subject]]:
    """Yield all subjects, each with its own database on one server."""
    with postgres(workshop) as server:
        ours = workshop.ours(create_database(server, "ours"))
        limits = [workshop.limit(name, ours, create_database(server, name)) for name in ("bare", "floor")]
        for limit in limits:
            run(
                [ours.command[0], "-m", "alembic", "upgrade", "head"], ours.cwd, **{**ours.variables, **limit.variables}
            )
        peer = workshop.peer(create_database(server, "peer"))
        vstorm = workshop.vstorm(create_database(server, "vstorm"))
        yield {subject.name: subject for subject in (ours, peer, vstorm, *limits)}


@contextmanager
def serving_all(subjects: Mapping[str, Subject]) -> Iterator[dict[str, Server]]:
    """A server of each, by its name."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(subject.serving()) for name, subject in subjects.items()}


def fill(subject: Subject, rows: int = ROWS) -> None:
    """Fill its table with this number of rows, including the row that requests read."""
    numbered = "(left('{READ}', -12) || lpad(to_hex(n), 12, '0'))::uuid"
    items = ("id, name", f"{numbered.format(READ=READ)}, md5(n::text)", f"'{READ}', 'first'")
    tables = {{"peer": "item_model", "vstorm": "items"}.get(subject.name, "my_service.item"): items}
    if subject.name == "peer":
        tables["dummy_model"] = "name", "md5(n::text)", "'first'"
    for table, (columns, values, first) in tables.items():
        sql(
            database_url(subject),
            f"TRUNCATE {table}",
            f"INSERT INTO {table} ({columns}) VALUES ({first})",
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(2, {rows}) AS n",
            f"VACUUM ANALYZE {table}",
        )


@contextmanager
def workshop(python: Path | None = None, directory: Path | None = None) -> Iterator[Workshop]:
    """A place to work in, removed at the end."""
    with ExitStack() as stack:
        place = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            raise BenchmarkError(f"{place} is not empty: name another directory.")
        yield Workshop(place, python or find_python())


def find_python() -> Path:
    """A Python of the version that the images have.

    Raises:
        BenchmarkError: no such Python is installed.
    """
    name = f"python{PYTHON_VERSION}"
    find: list[str | Path] = [
        Path(sys.executable).with_name("uv"),
        "python",
        "find",
        "--no-python-downloads",
        PYTHON_VERSION,
    ]
    found = subprocess.run(find, capture_output=True, text=True, check=False).stdout.strip()
    installed = sorted(Path.home().glob(f".pyenv/versions/{PYTHON_VERSION}.*/bin/{name}"), reverse=True)
    candidates = [found, which(name) or "", *map(str, installed)]
    for candidate in filter(None, candidates):
        # A shim may be there of a version that is not.
        if subprocess.run([candidate, "-c", "pass"], capture_output=True, check=False).returncode == 0:
            return Path(candidate)
    raise BenchmarkError(f"Cannot find Python {PYTHON_VERSION}, the version of the rendered images. Set --python.")


def versions(subject: Subject, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of these packages in the subject's environment."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    output = subprocess.run([subject.command[0], "-c", code, *packages], capture_output=True, check=True).stdout
    found: dict[str, str] = json.loads(output)
    return found


def _git(directory: Path, *arguments: str | Path) -> str:
    finished = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env={**os.environ, **IDENTITY},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise BenchmarkError(f"git {' '.join(map(str, arguments))}: {finished.stderr.strip()}")
    return finished.stdout.strip()
