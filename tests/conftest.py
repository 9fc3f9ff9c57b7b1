"""Fixtures that render the template, install the packages of a render, and start PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn
from uuid import uuid4

import asyncpg
import jinja2
import plumbum
import pytest
from filelock import FileLock
from sqlalchemy import make_url

ROOT = Path(__file__).resolve().parents[1]
GIT_IDENTITY = {
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.com",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "COPIER_SETTINGS_PATH": str(Path(__file__).with_name("copier-settings.yml")),
}
Render = Callable[..., Path]
pytest_plugins = ["faulty_service", "timing_plugin"]
collect_ignore = ["rendered"]  # These tests run inside a render: see rendered_tests.py.


def pytest_configure() -> None:
    # The developer's own settings of git and Copier must not change what is rendered.
    os.environ.update(GIT_IDENTITY)
    plumbum.local.env.update(GIT_IDENTITY)
    # Background jobs of a shell ignore SIGINT. Processes that tests interrupt would inherit this.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Without byte code, every start of a rendered service would compile its modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # `make test` passes its own arguments on in these variables. The tests start other `make` processes.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "args"):
        os.environ.pop(name, None)


TABLES = {
    "update": ("updates to the working tree", []),
    "failover": (
        "failover of a cluster of two nodes",
        ["fault", "replication", "acknowledged", "found", "lost", "5xx", "cluster s", "service s", "slowest s"],
    ),
}
"""The title and the head of the table for each property that tests record. Cells are separated by `|`."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables of the properties that the tests recorded."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    properties = [each for report in reports if report.when == "call" for each in report.user_properties]
    for table, (title, head) in TABLES.items():
        rows = [str(value).split("|") for name, value in properties if name == table]
        if rows:
            terminalreporter.section(title)
            rows = [head, *rows] if head else sorted(rows)
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            for row in rows:
                terminalreporter.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command and fail with its output if its exit status is not 0."""
    finished = run_unchecked(*command, cwd=cwd, **environment)
    assert finished.returncode == 0, f"{' '.join(map(str, command))}\n{finished.stdout}\n{finished.stderr}"
    return finished


def run_unchecked(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def git_init(project: Path) -> None:
    run("git", "init", "--quiet", cwd=project)
    commit_all(project, "Start")


def commit_all(project: Path, message: str, *options: str) -> None:
    """Commit all changes and new files. `git commit --all` would leave new files out."""
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", *options, "--message", message, cwd=project)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that all pytest-xdist processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def releases() -> dict[str, str]:
    """Return the commit of each released version, oldest first."""
    lines = (ROOT / "releases.txt").read_text("utf-8").splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


@pytest.fixture(scope="session")
def template(shared: Path) -> Path:
    """Return a clone of this repository with a tag for each release.

    The newest tag, v999.0.0, is the working tree, including changes that are not committed.
    """
    clone = shared / "template"
    with FileLock(shared / "template.lock"):
        if not clone.exists():
            run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone), cwd=shared)
            for version, commit in releases().items():
                if run_unchecked("git", "cat-file", "-e", commit, cwd=clone).returncode != 0:
                    pytest.fail(f"The commit of release {version} is missing. Run `git fetch --unshallow`.")
                run("git", "tag", "--force", f"v{version}", commit, cwd=clone)
            files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout
            for path in run("git", "ls-files", "-z", cwd=clone).stdout.split("\0")[:-1]:
                (clone / path).unlink()
            for path in files.split("\0")[:-1]:
                if (ROOT / path).exists():
                    (clone / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / path, clone / path)
            commit_all(clone, "The working tree", "--allow-empty")
            run("git", "tag", "v999.0.0", cwd=clone)
    return clone


@pytest.fixture(scope="session", autouse=True)
def compiled_templates() -> Iterator[None]:
    """Compile each Jinja template once a process. Copier compiles all of them for every render."""
    compile_template = jinja2.Environment.compile
    compiled: dict[tuple[Any, str | None], Any] = {}

    def compile_once(environment: jinja2.Environment, source: Any, name: str | None = None, *rest: Any) -> Any:
        # `rest` starts with the path of the file, in a clone that Copier makes for each render.
        if (source, name) not in compiled:
            compiled[source, name] = compile_template(environment, source, name, *rest)
        return compiled[source, name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", compile_once)
        yield


@pytest.fixture(scope="session")
def render(pytestconfig: pytest.Config, template: Path, shared: Path, request: pytest.FixtureRequest) -> Render:
    """Return a function that renders the template. Tests share the directory of each render: do not change it."""
    pytestconfig.option.template = str(template)
    copie = request.getfixturevalue("copie_session")
    (shared / "renders").mkdir(exist_ok=True)

    def render(**answers: Any) -> Path:
        key = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:16]
        directory = shared / "renders" / key
        with FileLock(f"{directory}.lock"):
            if not directory.exists():
                result = copie.copy(extra_answers=answers)
                if result.exception:
                    raise result.exception
                shutil.move(result.project_dir, directory)
        return directory

    return render


@pytest.fixture
def project(render: Render, tmp_path: Path) -> Render:
    """Return a function that renders the template into a new git repository. The test may change it."""

    def copy(**answers: Any) -> Path:
        directory = tmp_path / "project"
        shutil.copytree(render(**answers), directory)
        git_init(directory)
        return directory

    return copy


@pytest.fixture
def add_row(record_property: Callable[[str, object], None]) -> Callable[[str, str, str], None]:
    """Return a function that adds a row to the table at the end of the run."""

    def add(version: str, answers: str, outcome: str) -> None:
        record_property("update", f"{version}|{answers}|{outcome}")

    return add


class Environment:
    """A virtual environment with the development dependencies of a render, but not the render itself."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / "python"

    def run(self, project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m` with the arguments in a project."""
        return self.script(project, "-m", *arguments, **environment)

    def script(self, project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the arguments in a project."""
        return run(self.python, *arguments, cwd=project, **self.variables(project, **environment))

    def variables(self, project: Path, **environment: str) -> dict[str, str]:
        return {
            "PYTHONPATH": str(project / "src"),
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            **environment,
        }


EnvironmentOf = Callable[[Path], Environment]


def make_environment(project: Path, shared: Path) -> Environment:
    """Return the environment for a render. Renders with the same requirements-dev.txt share one."""
    requirements = project / "requirements-dev.txt"
    directory = shared / f"environment-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    with FileLock(f"{directory}.lock"):
        if not (directory / "complete").exists():
            uv = Path(sys.executable).with_name("uv")
            run(uv, "venv", "--quiet", "--python", sys.executable, directory, cwd=project)
            install = ("pip", "install", "--quiet", "--compile-bytecode", "--require-hashes", "--no-deps")
            run(uv, *install, "--python", str(directory), "-r", requirements, cwd=project)
            (directory / "complete").touch()
    return Environment(directory)


@pytest.fixture(scope="session")
def environment(shared: Path) -> EnvironmentOf:
    return lambda project: make_environment(project, shared)


@pytest.fixture(scope="session")
def standfast(shared: Path, template: Path) -> Path:
    """Return the path of the `standfast` command, installed from the clone of this repository."""
    directory = shared / "standfast"
    environment = Environment(directory)
    with FileLock(f"{directory}.lock"):
        if not (directory / "complete").exists():
            uv = Path(sys.executable).with_name("uv")
            run(uv, "venv", "--quiet", "--python", sys.executable, directory, cwd=shared)
            pinned = ("--constraints", str(ROOT / "requirements.txt"))
            run(uv, "pip", "install", "--quiet", "--python", environment.python, *pinned, template, cwd=shared)
            (directory / "complete").touch()
    return environment.bin / "standfast"


def load_postgres_server(project: Path) -> ModuleType:
    """Import the module that starts PostgreSQL for the tests of a render."""
    path = project / "tests" / "support" / "postgres_server.py"
    spec = importlib.util.spec_from_file_location("postgres_server", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def postgres_module(render: Render) -> ModuleType:
    return load_postgres_server(render())


@pytest.fixture(scope="session")
def postgres(postgres_module: ModuleType, shared: Path) -> Iterator[str]:
    """Return TEST_DATABASE_URL, or the URL of a PostgreSQL server that all processes of this run share."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    record = shared / "postgres.json"
    with FileLock(f"{record}.lock"):
        users = json.loads(record.read_text())["users"] if record.exists() else 0
        if not users:
            server = postgres_module.PostgresServer()
            server.start()
            server._process.returncode = 0  # The last pytest process stops the server, not this object.
            record.write_text(json.dumps({"url": server.url, "directory": str(server.directory)}))
        shown = json.loads(record.read_text())
        record.write_text(json.dumps({**shown, "users": users + 1}))
    yield shown["url"]
    with FileLock(f"{record}.lock"):
        shown = json.loads(record.read_text())
        record.write_text(json.dumps({**shown, "users": shown["users"] - 1}))
        if shown["users"] == 1:
            stop_postgres(Path(shown["directory"]))


def stop_postgres(directory: Path) -> None:
    """Stop a PostgreSQL server that another pytest process may have started."""
    pid = int((directory / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGINT)
    while (directory / "data" / "postmaster.pid").exists():
        time.sleep(0.05)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """Return the URL of an empty database, in the form that hosting providers use."""
    with created_database(postgres.replace("+asyncpg", "").partition("?")[0]) as url:
        yield url


@contextmanager
def created_database(server: str, template: str = "template1") -> Iterator[str]:
    """Create a database, yield its URL, and drop it.

    Args:
        server: the URL of a server; the new URL differs only in the database.
        template: the name of the database to copy. The default is empty.
    """
    name = f"test_{uuid4().hex}"
    query(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        query(server, f"DROP DATABASE {name} WITH (FORCE)")


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run an SQL statement on a new connection, and return the rows."""

    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def in_fast_part(names: Iterable[str], *fast: str) -> list[Any]:
    """Return parameters for a test. `make test` runs only the parameters in `fast`."""
    names = list(names)
    assert set(fast) <= set(names), f"There are no parameters {set(fast) - set(names)}."
    return [pytest.param(name, marks=[] if name in fast else pytest.mark.slow) for name in names]


def skip_outside_ci(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where every program must be installed."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def component(variable: str, program: str) -> str:
    """Return the path of a program, or skip the test if it is missing.

    Args:
        variable: an environment variable that can name another path.
        program: the name to search for.
    """
    named = os.environ.get(variable) or (program if variable == program.upper() else None)
    found = named and shutil.which(named, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if not found:
        skip_outside_ci(
            f"{program} is not installed. Run `apt-get install {program}`, or set {variable} (see .ci/run)."
        )
    return found


def replace(project: Path, name: str, old: str, new: str, *, count: int = 1) -> None:
    """Replace text in a file of a project.

    Args:
        count: the number of places; -1 for all.
    """
    path = project / name
    text = path.read_text("utf-8")
    assert old in text, f"{name} does not contain {old!r}."
    path.write_text(text.replace(old, new, count), "utf-8")


def find_python(version: str) -> Path | None:
    """Return an interpreter of that version: one on the path, or one of pyenv's."""
    candidates = [Path(found)] if (found := shutil.which(f"python{version}")) else []
    candidates += sorted(Path(os.environ.get("PYENV_ROOT", "/nonexistent")).glob(f"versions/{version}.*/bin/python"))
    for candidate in candidates:
        if run_unchecked(candidate, "-c", "import ssl, sqlite3", cwd=Path("/")).returncode == 0:
            return candidate
    return None
