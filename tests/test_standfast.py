"""Run the commands of `standfast` in projects of every release and of the working tree."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from copier import run_copy
from sqlalchemy import create_engine

from conftest import (
    ROOT,
    Environment,
    EnvironmentOf,
    Render,
    commit_all,
    created_database,
    git_init,
    query,
    releases,
    run,
    run_unchecked,
)
from processes import wait_until

sys.path.insert(0, str(ROOT / "standfast" / "in_project"))

from _project import Project
from move_schema import rewrite

WORKING_TREE = "999.0.0"
VERSIONS = [*releases(), WORKING_TREE]
UV = Path(sys.executable).with_name("uv")

Finished = subprocess.CompletedProcess[str]
Make = Callable[..., Path]


@pytest.fixture(scope="session")
def rendered(template: Path, environment: EnvironmentOf, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that renders a version and adds a `.venv`. Tests share the directory: do not change it."""
    cache: dict[str, Path] = {}

    def make(version: str, **answers: Any) -> Path:
        key = f"{version} {sorted(answers.items())}"
        if key not in cache:
            directory = tmp_path_factory.mktemp("render") / "project"
            run_copy(str(template), directory, data=answers, vcs_ref=f"v{version}", defaults=True, quiet=True)
            (directory / ".venv").symlink_to(environment(directory).bin.parent)
            cache[key] = directory
        return cache[key]

    return make


@pytest.fixture
def made(rendered: Make, tmp_path: Path) -> Make:
    """Return a function that creates a committed project of a version. The test may change it."""

    def make(version: str, name: str = "project", **answers: Any) -> Path:
        directory = tmp_path / name
        shutil.copytree(rendered(version, **answers), directory, symlinks=True)
        git_init(directory)
        return directory

    return make


def assert_refused(finished: Finished, message: str, status: int = 1) -> None:
    """Check the exit status, and that the command printed one line with the message."""
    assert finished.returncode == status, finished.stdout + finished.stderr
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("Error: ")
    assert message in lines[0]


# -------------------------------------------------------------------------------------- the package


def test_makefile_quotes_a_space_in_the_address_of_the_template(template: Path, tmp_path: Path) -> None:
    address = tmp_path / "my template"
    address.symlink_to(template)
    run_copy(str(address), tmp_path / "project", defaults=True, quiet=True, vcs_ref="v999.0.0")
    makefile = (tmp_path / "project/Makefile").read_text("utf-8")
    assert makefile.count(f" --from git+file://{tmp_path}/my%20template standfast update ") == 2


@pytest.mark.slow
def test_message_after_update_names_commands_that_run(made: Make, tmp_path: Path) -> None:
    """`uv tool run` installs the package from the template address in the answers, as uvx does."""
    project = made(WORKING_TREE)
    message = ""
    for answer in ("schema_namespace=", "database_backend=sqlite", "database_backend=postgresql"):
        update = ("update", "--defaults", "--vcs-ref", ":current:", "--data", answer)
        message += run(Path(sys.executable).with_name("copier"), *update, cwd=project).stderr
        commit_all(project, answer)
    commands = [line.split()[1:] for line in re.findall(r"uvx --from git\+.* standfast .*", message)]
    assert [command[3] for command in commands] == ["move-schema", "copy-data"]
    for command in commands:
        # A separate cache: each run would add a copy of the repository to the user's cache.
        shown = run(UV, "tool", "run", *command, cwd=project, UV_CACHE_DIR=str(tmp_path / "cache"))
        assert f"Usage: standfast {command[3]}" in shown.stdout


def test_version_is_read_from_the_package(standfast: Path, tmp_path: Path) -> None:
    stated = re.search(r'__version__ = "(.*)"', (ROOT / "standfast" / "__init__.py").read_text("utf-8"))
    assert stated
    assert run(standfast, "--version", cwd=tmp_path).stdout == f"standfast, version {stated[1]}\n"


# -------------------------------------------------------------------------------------- the project

COMMANDS = [
    ("copy-data", "sqlite:///a.db", "sqlite:///b.db"),
    ("move-schema", "files", "public"),
    ("move-schema", "database", "public"),
    ("rename-package", "orders"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_directory_without_answers_is_rejected(standfast: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert_refused(run_unchecked(standfast, *command, cwd=tmp_path), "is not a project of this template")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("", "is not a project of this template"),
        ("[1]", "is not a project of this template"),
        ("package: name", "is not a project of this template"),
        ("[", "Cannot read .copier-answers.yml: while parsing"),
    ],
)
def test_answers_without_a_package_are_rejected(standfast: Path, tmp_path: Path, answers: str, message: str) -> None:
    (tmp_path / ".copier-answers.yml").write_text(answers)
    assert_refused(run_unchecked(standfast, *COMMANDS[0], cwd=tmp_path), message)


@pytest.mark.parametrize("command", COMMANDS[:3], ids=" ".join)
def test_missing_interpreter_is_reported(standfast: Path, render: Render, command: tuple[str, ...]) -> None:
    assert_refused(run_unchecked(standfast, *command, cwd=render()), "Run `make test` in the project")


@pytest.mark.parametrize("command", COMMANDS[:3], ids=" ".join)
def test_interpreter_without_the_packages_is_rejected(
    standfast: Path, render: Render, command: tuple[str, ...]
) -> None:
    """The environment of `standfast` itself has no SQLAlchemy."""
    interpreter = standfast.with_name("python")
    refused = run_unchecked(standfast, *command, "--python", interpreter, cwd=render())
    assert_refused(refused, f"Cannot import the project with {interpreter} (No module named 'sqlalchemy')")


def test_project_and_interpreter_can_be_named(
    standfast: Path, render: Render, environment: EnvironmentOf, tmp_path: Path
) -> None:
    """Both paths are relative to the working directory."""
    (tmp_path / "project").symlink_to(render())
    python = environment(render()).python
    (tmp_path / "environment").symlink_to(python.parents[1])
    named = ("--project", "project", "--python", Path("environment", python.parent.name, python.name))
    refused = run_unchecked(standfast, "copy-data", *named, "sqlite:///none.db", "sqlite:///b.db", cwd=tmp_path)
    assert_refused(refused, "the file none.db does not exist", 2)


def test_invalid_settings_are_reported(standfast: Path, rendered: Make) -> None:
    refused = run_unchecked(standfast, *COMMANDS[0], cwd=rendered(WORKING_TREE), ENVIRONMENT="production")
    assert refused.returncode == 1
    assert "DATABASE_URL: must be set in production" in refused.stderr
    assert "Traceback" not in refused.stderr


BACKEND = """
from contextlib import contextmanager


class Backend:
    def create_migration_engine(self, settings):
        return settings

    @contextmanager
    def {lock}(self, connection, settings):
        yield "locked"


def {backend_for}(url):
    return Backend()
"""
PARSER = "from sqlalchemy import make_url as parse_database_url\n"
MODULES = {
    "config": """
from types import SimpleNamespace


class Settings(SimpleNamespace):
    def model_copy(self, update):
        return Settings(**{**vars(self), **update})


def get_settings():
    return Settings(database_url="sqlite:///a.db", database_migration_url=None, database_pgbouncer=True)
""",
    "errors": "class OperatorError(Exception): pass",
    "models": "from sqlalchemy import MetaData\n\n\nclass Base:\n    metadata = MetaData(schema='orders')\n",
}
LAYOUTS = {
    "0.2.0": {"dialects": BACKEND.format(lock="migration_guard", backend_for="dialect_for") + PARSER},
    "backends": {
        "backends": BACKEND.format(lock="migration_lock", backend_for="backend_for"),
        "database_url": PARSER,
    },
}
"""Stand-ins for the modules that differ between releases. The tests below use the real modules."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_of_both_layouts_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    package = tmp_path / f"layout_{layout.replace('.', '_')}"
    package.mkdir()
    for name, text in {"__init__": "", **MODULES, **LAYOUTS[layout]}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    project = Project(package.name)
    url = project.parse_url("postgresql+asyncpg://db/orders")
    settings: Any = project.create_engine(url)
    assert (settings.database_url, settings.database_pgbouncer) == (url, False)
    assert project.create_migration_engine() is project.settings
    with create_engine("sqlite://").connect() as connection, project.migration_lock(connection) as lock:
        assert str(lock) == "locked"
    assert (project.version_table.name, project.version_table.schema) == ("alembic_version", "orders")


# ---------------------------------------------------------------------------------------- copy-data

NODE = """
import enum
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base
from .{types} import JSONDocument, UUIDArray


class Kind(enum.Enum):
    LEAF = "leaf"
    BRANCH = "branch"


class Node(Base):
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{{Base.metadata.schema}}.node.id"))
    kind: Mapped[Kind]
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    weight: Mapped[float]
    data: Mapped[bytes | None]
    friends: Mapped[list[UUID] | None] = mapped_column(UUIDArray)
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSONDocument)


class Counter(Base):
    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(default=None)
"""
"""A module that the owner adds: a model with all column types, and a model with a serial number."""

MIGRATE = """
import os
import sys

from alembic.config import main
from my_service.config import get_settings


def alembic(url, *arguments):
    os.environ["DATABASE_URL"] = url
    get_settings.cache_clear()
    main(argv=["-q", *arguments])


first, *others = sys.argv[1:]
alembic(first, "upgrade", "head")
alembic(first, "revision", "--autogenerate", "-m", "add node")
for url in (first, *others):
    alembic(url, "upgrade", "head")
"""
ROWS = """
import asyncio
import sys
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from my_service.models import Base
from my_service.models.node import Counter, Kind, Node
from sqlalchemy import create_engine, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

MOMENT = datetime(2026, 3, 29, 0, 30, 15, 123456, tzinfo=UTC)
ROWS = 2500
# More rows than one batch. Each row except the last refers to the next row.
NODES = [
    {
        "id": UUID(int=number),
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "parent_id": UUID(int=number + 1) if number + 1 < ROWS else None,
        "kind": Kind.LEAF if number % 2 else Kind.BRANCH,
        "amount": Decimal("12.50"),
        "weight": 0.1,
        "data": b"\\x00\\xff" if number % 3 else None,
        "friends": [UUID(int=1), UUID(int=2)] if number % 3 else None,
        "plan": {"\\xfc": [1, None, {"deep": "\\U0001fad6"}]} if number % 3 else None,
    }
    for number in range(ROWS)
]


def run(url, work):
    if url.startswith("sqlite"):
        engine = create_engine(url, execution_options={"schema_translate_map": {Base.metadata.schema: None}})
        with engine.begin() as connection:
            return work(connection)

    async def run_async():
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.begin() as connection:
            result = await connection.run_sync(work)
        await engine.dispose()
        return result

    return asyncio.run(run_async())


def fill(connection):
    connection.execute(insert(Node.__table__), NODES)
    connection.execute(insert(Counter.__table__), [{"number": 41, "id": UUID(int=0)}])


def read(connection):
    nodes = connection.execute(select(Node.__table__).order_by(Node.id)).mappings().all()
    return [dict(row) for row in nodes], connection.scalars(select(Counter.number)).all()


if sys.argv[1] == "fill":
    run(sys.argv[2], fill)
else:
    for url in sys.argv[2:]:
        assert run(url, read) == (NODES, [41]), url
"""


@dataclass
class Owned:
    """A project with models that the owner added, and its migrated databases. Tests do not change them."""

    directory: Path
    standfast: Path
    python: Environment
    source: str
    """An SQLite file with rows of all types."""
    empty_file: Path
    """An SQLite file without rows."""
    empty: str
    """A PostgreSQL database without rows."""

    def copy(self, source: str, target: str) -> Finished:
        return run_unchecked(self.standfast, "copy-data", source, target, cwd=self.directory)

    def script(self, text: str, *arguments: str) -> None:
        self.python.script(self.directory, "-c", text, *arguments)


@pytest.fixture(scope="module", params=VERSIONS)
def owned(
    request: pytest.FixtureRequest,
    rendered: Make,
    standfast: Path,
    environment: EnvironmentOf,
    postgres: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Owned]:
    directory = tmp_path_factory.mktemp("owned")
    project = directory / "project"
    shutil.copytree(rendered(request.param), project, symlinks=True)
    models = project / "src" / "my_service" / "models"
    types = next(name for name in ("postgresql_types", "portable") if (models / f"{name}.py").exists())
    (models / "node.py").write_text(NODE.format(types=types))
    with (models / "__init__.py").open("a") as init:
        init.write("\nfrom .node import Counter, Node\n")
    source, file = f"sqlite:///{directory}/source.db", directory / "empty.db"
    with created_database(postgres) as empty:
        project_of_owner = Owned(project, standfast, environment(project), source, file, empty)
        project_of_owner.script(MIGRATE, empty, source, f"sqlite:///{file}")
        project_of_owner.script(ROWS, "fill", source)
        yield project_of_owner


@pytest.fixture
def target(owned: Owned, postgres: str) -> Iterator[str]:
    """Return the URL of a PostgreSQL database that is migrated and has no rows."""
    with created_database(postgres, template=owned.empty.rpartition("/")[2]) as url:
        yield url


def count(url: str) -> int:
    rows = query(url, "SELECT (SELECT count(*) FROM my_service.node) + (SELECT count(*) FROM my_service.counter)")
    return int(rows[0][0])


@pytest.mark.slow
def test_copy_to_postgresql_and_back_keeps_every_type(owned: Owned, target: str, tmp_path: Path) -> None:
    shutil.copy2(owned.empty_file, tmp_path / "back.db")
    back = f"sqlite:///{tmp_path}/back.db"
    for source, to in ((owned.source, target), (target, back)):
        finished = owned.copy(source, to)
        assert finished.returncode == 0, finished.stderr
        assert "✅ 2501 rows copied and verified" in finished.stdout
    owned.script(ROWS, "compare", owned.source, target, back)
    unset = "SELECT count(*) FROM my_service.node WHERE plan IS NULL AND friends IS NULL"
    assert query(target, unset) == [(834,)]
    inserted = "INSERT INTO my_service.counter (id) VALUES (gen_random_uuid()) RETURNING number"
    assert query(target, inserted) == [(42,)]


@pytest.mark.slow
def test_target_with_rows_is_rejected(owned: Owned, target: str) -> None:
    query(target, "INSERT INTO my_service.counter (id) VALUES (gen_random_uuid())")
    assert_refused(owned.copy(owned.source, target), "TARGET has a row of counter that SOURCE does not have")
    assert count(target) == 1


@pytest.mark.slow
def test_rows_that_equal_the_source_are_accepted(owned: Owned, target: str) -> None:
    with sqlite3.connect(owned.source.removeprefix("sqlite:///")) as source:
        (key, number) = source.execute("SELECT id, number FROM counter LIMIT 1").fetchone()
    query(target, f"INSERT INTO my_service.counter (id, number) VALUES ('{key}', {number})")
    finished = owned.copy(owned.source, target)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
def test_rejected_row_rolls_back_the_copy(owned: Owned, target: str) -> None:
    query(target, "CREATE UNIQUE INDEX once ON my_service.node (weight)")
    assert_refused(owned.copy(owned.source, target), "Nothing was copied: TARGET refuses the row id 00000000")
    assert count(target) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("NEW.weight = 0.2; RETURN NEW;", "2500 rows were sent, 2500 arrived, and some were changed."),
        ("NEW.updated_at = now(); RETURN NEW;", "2500 rows were sent, 2500 arrived, and some were changed."),
        ("IF NEW.kind = 'leaf' THEN RETURN NULL; END IF; RETURN NEW;", "2500 rows were sent, 1250 arrived."),
    ],
    ids=["value", "time", "row"],
)
def test_rows_that_the_target_changes_are_reported(owned: Owned, target: str, body: str, message: str) -> None:
    function = f"CREATE FUNCTION alter_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
    query(target, function)
    query(target, "CREATE TRIGGER changing BEFORE INSERT ON my_service.node FOR EACH ROW EXECUTE FUNCTION alter_row()")
    query(target, "ALTER TABLE my_service.node DROP CONSTRAINT fk_node_parent_id_node")
    assert_refused(owned.copy(owned.source, target), f"node differs between SOURCE and TARGET. {message}")
    assert count(target) == 0


@pytest.mark.slow
def test_different_migrations_are_rejected(owned: Owned, target: str, postgres: str) -> None:
    query(target, "UPDATE my_service.alembic_version SET version_num = 'another'")
    assert_refused(owned.copy(owned.source, target), "Source and target have different migrations")
    with created_database(postgres) as blank:
        assert_refused(owned.copy(owned.source, blank), "The target has no migrations: run `alembic upgrade head`")
        assert_refused(owned.copy(blank, target), "The source has no migrations: run `alembic upgrade head`")


@contextmanager
def no_inserts(url: str, table: str) -> Iterator[None]:
    """Lock a table: statements that write to it wait until the block ends."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url.replace("+asyncpg", "")))
        runner.run(connection.execute(f"BEGIN; LOCK TABLE {table} IN SHARE MODE"))
        yield
        runner.run(connection.close())


@pytest.mark.slow
def test_interrupted_copy_leaves_nothing(owned: Owned, target: str) -> None:
    """The script in the interpreter of the project receives SIGINT and rolls back."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with (
        subprocess.Popen(
            [owned.standfast, "copy-data", owned.source, target],
            cwd=owned.directory,
            env={**os.environ, "DATABASE_MIGRATION_LOCK_TIMEOUT": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as copying,
        no_inserts(target, "my_service.node"),
    ):
        wait_until(lambda: query(target, waiting) != [(0,)], 20)
        copying.send_signal(signal.SIGINT)
        _, errors = copying.communicate(timeout=20)
    assert (copying.returncode, errors) == (130, "Error: Interrupted. Nothing was copied.\n")
    assert count(target) == 0


@pytest.mark.parametrize(
    ("source", "target", "message", "status"),
    [
        ("sqlite:////nonexistent/source.db", "sqlite:///a.db", "the file /nonexistent/source.db does not exist", 2),
        ("sqlite:///a.db", "sqlite:///a.db", "SOURCE and TARGET are the same database.", 2),
        ("mysql://me:hunter2@127.0.0.1/x", "sqlite:///a.db", "SOURCE mysql:// is not supported", 2),
        ("sqlite:///alembic.ini", "hunter2", "TARGET is not a database URL", 2),
        ("postgresql://me:hunter2@127.0.0.1:1/x", "sqlite:///a.db", "Cannot connect to postgresql", 1),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_databases_that_cannot_be_copied_are_rejected(
    rendered: Make, standfast: Path, version: str, source: str, target: str, message: str, status: int
) -> None:
    refused = run_unchecked(standfast, "copy-data", source, target, cwd=rendered(version))
    assert_refused(refused, message, status)
    assert "hunter2" not in refused.stderr


# -------------------------------------------------------------------------------------- move-schema

FORMER = {"renamed": ("orders", "shop"), "dropped": ("orders", ""), "added": ("", "shop")}
MIGRATION = "alembic/versions/20260101_0000_create_item.py"


@pytest.mark.parametrize("change", FORMER)
@pytest.mark.parametrize("version", VERSIONS)
def test_rewritten_migrations_equal_a_render_with_the_new_schema(
    rendered: Make, made: Make, standfast: Path, version: str, change: str
) -> None:
    former, schema = FORMER[change]
    project = made(version, schema_namespace=schema)
    expected = (project / MIGRATION).read_text("utf-8")
    shutil.copy2(rendered(version, schema_namespace=former) / MIGRATION, project / MIGRATION)
    first, second = (run(standfast, "move-schema", "files", former or "public", cwd=project).stdout for _ in range(2))
    assert (project / MIGRATION).read_text("utf-8") == expected
    assert f"✅ {Path(MIGRATION).name}" in first
    assert "✅" not in second


def test_rewriting_changes_nothing_but_the_schema() -> None:
    former = """
op.create_table("line", sa.ForeignKeyConstraint(["a", "b"], ["orders.order.a", "orders.order.b"]), schema="orders")
op.create_table("line", sa.Column("who", sa.ForeignKey("others.person.id"), comment="ü orders"), schema="others")
with op.batch_alter_table("line", schema="orders") as batch_op:
    batch_op.create_foreign_key("fk", "order", ["a"], ["a"], referent_schema="orders")
op.drop_index("ix_line", "line", schema="orders")
op.execute("UPDATE orders.line SET a = 1")
"""
    moved = former.replace('schema="orders"', 'schema="shop"').replace('"orders.order', '"shop.order')
    assert rewrite(former, "orders", "shop") == moved
    assert rewrite(moved, "orders", "shop") == moved
    default = re.sub(r', (referent_)?schema="orders"', "", former).replace('"orders.order', '"order')
    assert rewrite(former, "orders", None) == default
    assert rewrite(default, None, "orders") == former


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_tables_move_from_one_schema_to_another(
    rendered: Make, environment: EnvironmentOf, standfast: Path, postgres: str, version: str
) -> None:
    before, after = (rendered(version, schema_namespace=schema) for schema in ("orders", "shop"))
    python = environment(before)
    tables = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('orders', 'shop') ORDER BY 2"
    with created_database(postgres) as url:

        def move(former: str, status: int = 0) -> str:
            finished = run_unchecked(standfast, "move-schema", "database", former, cwd=after, DATABASE_URL=url)
            assert finished.returncode == status, finished.stderr
            return finished.stderr if status else finished.stdout

        assert "Neither oders nor shop has tables of the service. Check the name FORMER." in move("oders", 1)
        python.run(before, "alembic", "upgrade", "head", DATABASE_URL=url)
        query(url, "CREATE SCHEMA shop")
        query(url, "CREATE TABLE shop.item ()")
        assert "Nothing was moved: shop already has item." in move("orders", 1)
        query(url, "DROP SCHEMA shop CASCADE")
        assert move("orders") == "  ✅ moved alembic_version, item\n"
        assert move("orders") == "  ✅ orders has no tables of the service\n"
        assert query(url, tables) == [("shop", "alembic_version"), ("shop", "item")]
        assert query(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'orders'") == [(0,)]
        python.run(after, "alembic", "check", DATABASE_URL=url)


REST = """
CREATE TABLE orders."Audit" (id serial, note text)
CREATE VIEW orders.recent AS SELECT * FROM orders.item
CREATE MATERIALIZED VIEW orders.totals AS SELECT count(*) FROM orders.item
CREATE SEQUENCE orders.numbers
CREATE TYPE orders.kind AS ENUM ('a')
CREATE TYPE orders.pair AS (a int, b int)
CREATE DOMAIN orders.positive AS int CHECK (value > 0)
CREATE STATISTICS orders.spread ON name, created_at FROM orders.item
CREATE FUNCTION orders.total(int, text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders.item'
CREATE PROCEDURE orders.clear() LANGUAGE sql AS 'DELETE FROM orders.item'
CREATE EXTENSION citext SCHEMA orders
GRANT USAGE ON SCHEMA orders TO {role}
GRANT SELECT ON orders.item TO {role}, PUBLIC
ALTER DEFAULT PRIVILEGES IN SCHEMA orders GRANT SELECT, INSERT ON TABLES TO {role}
""".strip().splitlines()
LISTED = """
     ALTER EXTENSION citext SET SCHEMA shop;
     ALTER FUNCTION orders.total(integer,pg_catalog.text) SET SCHEMA shop;
     ALTER MATERIALIZED VIEW orders.totals SET SCHEMA shop;
     ALTER PROCEDURE orders.clear() SET SCHEMA shop;
     ALTER SEQUENCE orders.numbers SET SCHEMA shop;
     ALTER STATISTICS orders.spread SET SCHEMA shop;
     ALTER TABLE orders."Audit" SET SCHEMA shop;
     ALTER TYPE orders.kind SET SCHEMA shop;
     ALTER TYPE orders.pair SET SCHEMA shop;
     ALTER TYPE orders.positive SET SCHEMA shop;
     ALTER VIEW orders.recent SET SCHEMA shop;
     GRANT USAGE ON SCHEMA shop TO PUBLIC;
     GRANT USAGE ON SCHEMA shop TO {role};
     ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA shop GRANT INSERT, SELECT ON TABLES TO {role};
"""


@pytest.mark.slow
def test_objects_and_privileges_that_stay_are_listed(
    rendered: Make, environment: EnvironmentOf, standfast: Path, postgres: str
) -> None:
    before, after = (rendered(WORKING_TREE, schema_namespace=schema) for schema in ("orders", "shop"))
    role = f"reader_{uuid4().hex}"
    with created_database(postgres) as url:

        def move() -> str:
            return run(standfast, "move-schema", "database", "orders", cwd=after, DATABASE_URL=url).stdout

        environment(before).run(before, "alembic", "upgrade", "head", DATABASE_URL=url)
        query(url, f"CREATE ROLE {role}")
        try:
            for statement in REST:
                query(url, statement.format(role=role))
            owner = query(url, "SELECT current_user")[0][0]
            moved, _, listed = move().partition("  👀 These objects and privileges were not moved.")
            assert moved == "  ✅ moved alembic_version, item\n"
            statements = listed.partition(":")[2].lstrip("\n")
            assert statements == LISTED.format(role=role, owner=owner).removeprefix("\n")
            assert move().endswith(listed)
            for statement in statements.splitlines():
                query(url, statement)
            assert move() == "  ✅ orders has no tables of the service\n"
            query(url, "DROP SCHEMA orders")
        finally:
            query(url, f"DROP OWNED BY {role}")
            query(url, f"DROP ROLE {role}")


@pytest.mark.slow
def test_default_schema_lists_no_privileges_of_its_own(
    rendered: Make, environment: EnvironmentOf, standfast: Path, postgres: str
) -> None:
    before, after = (rendered(WORKING_TREE, schema_namespace=schema) for schema in ("", "shop"))
    with created_database(postgres) as url:
        environment(before).run(before, "alembic", "upgrade", "head", DATABASE_URL=url)
        moved = run(standfast, "move-schema", "database", "public", cwd=after, DATABASE_URL=url).stdout
        assert moved == "  ✅ moved alembic_version, item\n"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///a.db", "An SQLite file has no schemas"),
        ("postgresql://me:hunter2@127.0.0.1:1/x", "Cannot connect to postgresql"),
    ],
)
def test_database_without_schemas_is_rejected(rendered: Make, standfast: Path, url: str, message: str) -> None:
    project = rendered(WORKING_TREE)
    refused = run_unchecked(standfast, "move-schema", "database", "orders", cwd=project, DATABASE_URL=url)
    assert_refused(refused, message)
    assert "hunter2" not in refused.stderr


def test_tables_are_not_moved_through_pgbouncer(rendered: Make, standfast: Path) -> None:
    variables = {"DATABASE_URL": "postgresql://me@127.0.0.1:1/x", "DATABASE_PGBOUNCER": "true"}
    refused = run_unchecked(standfast, "move-schema", "database", "orders", cwd=rendered(WORKING_TREE), **variables)
    assert_refused(refused, "DATABASE_MIGRATION_URL")


# ----------------------------------------------------------------------------------- rename-package


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_renamed_package_equals_a_render_with_the_new_name(
    rendered: Make, made: Make, standfast: Path, version: str
) -> None:
    """`test_package_can_be_renamed` tests this with changes of the owner and a later update."""
    project = made(version)
    same = run_unchecked(standfast, "rename-package", "my_service", cwd=project)
    assert_refused(same, "The package is already called my_service.")
    run(standfast, "rename-package", "orders", cwd=project)
    assert files(project) == files(rendered(version, package_name="orders", schema_namespace="my_service"))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("_commit: v1", "has no _src_path"),
        ("_src_path: gh:nobody/nothing", "has no _commit"),
        ("_src_path: /nonexistent\n_commit: v1", "Local template must be a directory."),
        ("_src_path: https://127.0.0.1:1/x.git\n_commit: v1", "Cannot get the template from https://127.0.0.1:1/x.git"),
    ],
)
def test_template_that_cannot_be_rendered_is_reported(
    standfast: Path, tmp_path: Path, answers: str, message: str
) -> None:
    (tmp_path / ".copier-answers.yml").write_text(f"{answers}\npackage_name: my_service\n")
    git_init(tmp_path)
    assert_refused(run_unchecked(standfast, "rename-package", "orders", cwd=tmp_path), message)


def test_nothing_is_renamed_if_a_file_cannot_be_parsed(project: Render, standfast: Path) -> None:
    directory = project()
    (directory / "tests/broken.py").write_text("import my_service\nprint(\n")
    (directory / "src/shop").mkdir()
    (directory / "src/shop/__init__.py").touch()
    commit_all(directory, "Add modules")
    refused = run_unchecked(standfast, "rename-package", "shop", cwd=directory)
    assert_refused(refused, "src/shop already exists")
    refused = run_unchecked(standfast, "rename-package", "orders", cwd=directory)
    assert_refused(refused, "Cannot parse tests/broken.py ('(' was never closed (<unknown>, line 2)).")
    assert "Nothing was renamed." in refused.stderr
    assert run("git", "status", "--porcelain", cwd=directory).stdout == ""


def files(project: Path) -> dict[str, str]:
    paths = (
        path for path in project.rglob("*") if path.is_file() and not {".git", ".venv", "__pycache__"} & set(path.parts)
    )
    return {str(path.relative_to(project)): path.read_text("utf-8") for path in paths}
