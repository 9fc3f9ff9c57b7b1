"""Migrations as owners write them: models change step by step, and `make revision` and Alembic do the rest."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from conftest import Environment, EnvironmentOf, Render, query, replace, run_unchecked

pytestmark = pytest.mark.slow

MODEL = '''"""Model of the test."""

import enum
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import String, true
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base
from .types import PortableNumeric


class Status(enum.StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Level(enum.IntEnum):
    LOW = 1


class Order(Base):
    level: Mapped[Level]
    quoted: Mapped[str] = mapped_column(String(30), server_default="what's left")
    a_name_that_is_so_long_that_the_name_of_its_check_is_cut: Mapped[Status | None]
    status: Mapped[Status] = mapped_column(server_default=Status.OPEN)
    kind: Mapped[Literal["a", "b"]]
    note: Mapped[str] = mapped_column(String(20), server_default="old")
    total: Mapped[Decimal] = mapped_column(PortableNumeric(12, 2))
    plan: Mapped[dict[str, Any]]
    tags: Mapped[list[str]]
    numbers: Mapped[list[int] | None]
    parts: Mapped[list[UUID]]
    paid: Mapped[bool] = mapped_column(server_default=true())
    day: Mapped[date]
    hour: Mapped[time]
    data: Mapped[bytes]
    took: Mapped[timedelta]
'''


class Owner:
    """Changes the models of a project, and runs its commands."""

    def __init__(self, project: Path, python: Environment) -> None:
        self.project = project
        self.python = python
        self.models = project / "src" / "my_service" / "models"
        self.versions = project / "alembic" / "versions"

    def add_model(self, name: str = "order", text: str = MODEL) -> None:
        """Write a module that no other module imports."""
        (self.models / f"{name}.py").write_text(text, "utf-8")

    def edit(self, path: str, before: str, after: str) -> None:
        replace(self.project, path, before, after, count=-1)

    def edit_model(self, before: str, after: str) -> None:
        self.edit("src/my_service/models/order.py", before, after)

    def run_python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = self.python.variables(self.project, **environment)
        return run_unchecked(self.python.python, *arguments, cwd=self.project, **variables)

    def make_revision(self, message: str) -> subprocess.CompletedProcess[str]:
        return self.run_python("scripts/make_revision.py", message)

    def revise(self, message: str) -> str:
        """Return the text of a new migration."""
        known = set(self.versions.glob("*.py"))
        finished = self.make_revision(message)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        (written,) = set(self.versions.glob("*.py")) - known
        return written.read_text("utf-8")

    def alembic(self, *arguments: str, url: str) -> subprocess.CompletedProcess[str]:
        return self.run_python("-m", "alembic", *arguments, DATABASE_URL=url)

    def test_migrations(self, url: str) -> None:
        self.python.run(self.project, "pytest", "-q", "tests/test_migrations.py", TEST_DATABASE_URL=url)


@pytest.fixture
def owner(project: Render, environment: EnvironmentOf) -> Owner:
    service = project(include_example=False)
    return Owner(service, environment(service))


def test_model_that_nothing_imports_needs_a_migration(owner: Owner) -> None:
    owner.add_model()
    database = f"sqlite:///{owner.project}/service.db"
    owner.alembic("upgrade", "head", url=database)
    assert "('add_table', Table('order'" in owner.alembic("check", url=database).stdout
    with pytest.raises(AssertionError, match="test_models_and_migrations_have_no_drift"):
        owner.test_migrations("sqlite://")
    assert 'op.create_table(\n        "order"' in owner.revise("add orders")
    owner.test_migrations("sqlite://")


def test_models_change_step_by_step(owner: Owner, postgres: str) -> None:
    owner.add_model()
    created = owner.revise("add orders")
    for column in (
        'sa.Column("plan", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False)',
        'sa.Column("tags", sa.JSON().with_variant(sa.ARRAY(sa.String()), "postgresql"), nullable=False)',
        'sa.Column("parts", sa.JSON().with_variant(sa.ARRAY(sa.Uuid()), "postgresql"), nullable=False)',
        'sa.Column("took", sa.Interval(), nullable=False)',
        'sa.Column("total", sa.Numeric(precision=12, scale=2), nullable=False)',
        'sa.Column("paid", sa.Boolean(), server_default=sa.text("true"), nullable=False)',
        """sa.CheckConstraint("kind IN ('a', 'b')", name=op.f("ck_order_kind_""",
    ):
        assert column in created

    owner.edit_model('CLOSED = "closed"', 'CLOSED = "closed"\n    LOST = "lost"')
    assert "status IN ('open', 'closed', 'lost')" in owner.revise("add a member")
    owner.edit_model('LOST = "lost"', 'A_LONGER_NAME = "a longer name"')
    assert "status IN ('open', 'closed', 'a longer name')" in owner.revise("rename a member")
    owner.edit_model("    paid:", "    other: Mapped[Status | None]\n    paid:")
    assert "other IN ('open', 'closed', 'a longer name')" in owner.revise("add an enumeration")
    owner.edit_model('server_default="old"', 'server_default="new"')
    assert 'server_default="new"' in owner.revise("change a default")
    owner.edit_model("    tags: Mapped[list[str]]\n", "")
    owner.revise("drop a column")
    assert "No migration was written" in owner.make_revision("nothing").stdout
    for url in (postgres, "sqlite://"):
        owner.test_migrations(url)


def test_required_column_on_rows_is_reported_and_fails_the_suite(owner: Owner) -> None:
    owner.add_model()
    owner.revise("add orders")
    owner.edit_model("    paid:", "    must: Mapped[int]\n    paid:")
    finished = owner.make_revision("add a required column")
    assert "the migration can fail if order has rows. must is NOT NULL" in " ".join(finished.stdout.split())
    with pytest.raises(AssertionError, match="must"):
        owner.test_migrations("sqlite://")


def test_rows_that_lose_their_parent_stop_the_migration(owner: Owner) -> None:
    owner.add_model()
    child = "class Child(Base):\n    order_id: Mapped[UUID] = mapped_column(ForeignKey(f'{Order.__table__}.id'))\n"
    owner.edit_model("from sqlalchemy import ", "from sqlalchemy import ForeignKey, ")
    with (owner.models / "order.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{child}")
    owner.revise("add orders")
    owner.edit_model("Order", "Bill")
    owner.revise("rename the table")
    with pytest.raises(AssertionError, match=r"rows of child refer to rows of \w+ that do not exist"):
        owner.test_migrations("sqlite://")


def test_failing_migration_is_reported_without_a_traceback(owner: Owner, database: str) -> None:
    owner.add_model()
    owner.revise("add orders")
    (written,) = owner.versions.glob("*.py")
    owner.edit(f"alembic/versions/{written.name}", "def upgrade() -> None:\n", FAILING)
    finished = owner.alembic("upgrade", "head", url=database)
    assert finished.returncode != 0
    assert "The migration failed: " in finished.stdout
    assert "SELECT nonsense" in finished.stdout
    assert "Traceback" not in finished.stdout + finished.stderr
    finished = owner.run_python("scripts/init_db.py", DATABASE_URL=database)
    assert "The migration failed: " in finished.stderr
    assert "Cannot connect" not in finished.stderr


FAILING = 'def upgrade() -> None:\n    op.execute("SELECT nonsense")\n'


def test_migration_for_postgresql_alone_is_reported(owner: Owner) -> None:
    owner.edit("alembic/script.py.mako", "${upgrades if", 'op.execute("SELECT now()")\n    ${upgrades if')
    owner.add_model()
    finished = owner.make_revision("add orders")
    assert finished.returncode == 1
    assert "fails on sqlite" in finished.stderr
    assert 'if op.get_context().dialect.name != "sqlite":' in finished.stderr
    assert "Traceback" not in finished.stderr


def test_extension_gets_a_migration(owner: Owner, database: str) -> None:
    owner.edit("src/my_service/models/base.py", "EXTENSIONS: tuple[str, ...] = ()", 'EXTENSIONS = ("pg_trgm",)')
    assert """op.execute('CREATE EXTENSION IF NOT EXISTS "pg_trgm"')""" in owner.revise("add an extension")
    assert owner.alembic("upgrade", "head", url=database).returncode == 0
    assert query(database, "SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'") == [(1,)]
    assert "No migration was written" in owner.make_revision("nothing").stdout


def test_missing_extension_is_one_line_with_the_remedy(owner: Owner) -> None:
    owner.edit("src/my_service/models/base.py", "EXTENSIONS: tuple[str, ...] = ()", 'EXTENSIONS = ("uuid-ossp",)')
    finished = owner.make_revision("add an extension")
    assert finished.returncode == 1
    assert re.search(r'CREATE EXTENSION IF NOT EXISTS "uuid-ossp" failed: .*not available.*Install', finished.stderr)
    assert "Traceback" not in finished.stderr


def test_merged_branches_pass_the_suite(owner: Owner, postgres: str) -> None:
    owner.add_model()
    owner.revise("add orders")
    (root,) = owner.versions.glob("*.py")
    revision = re.search(r'^revision: str = "(\w+)"', root.read_text("utf-8"), re.MULTILINE)
    assert revision
    for name in ("left", "right"):
        owner.alembic("revision", "-m", name, "--head", revision[1], "--splice", url=postgres)
    merged = owner.alembic("merge", "heads", "-m", "merge", url=postgres)
    assert merged.returncode == 0, merged.stderr
    for url in (postgres, "sqlite://"):
        owner.test_migrations(url)


def test_index_can_be_created_concurrently(owner: Owner, postgres: str) -> None:
    owner.add_model()
    owner.revise("add orders")
    owner.edit_model("String(20), server", "String(20), index=True, server")
    owner.revise("add an index")
    (written,) = owner.versions.glob("*_add_an_index.py")
    lines = written.read_text("utf-8").partition("def upgrade")[0]
    written.write_text(
        f"{lines}def upgrade() -> None:\n"
        "    with op.get_context().autocommit_block():\n"
        '        op.create_index("ix_order_note", "order", ["note"], schema="my_service",\n'
        "            postgresql_concurrently=True)\n"
        "\n\ndef downgrade() -> None:\n"
        '    op.drop_index("ix_order_note", "order", schema="my_service")\n',
        "utf-8",
    )
    owner.python.run(owner.project, "pytest", "-q", TEST_DATABASE_URL=postgres)


def test_unmanaged_tables_get_no_migration(owner: Owner, database: str) -> None:
    owner.add_model("report", MODEL.replace("class Order(Base):", "class Report(Base):"))
    other = '__tablename__ = "theirs"\n    __table_args__ = {"schema": "other"}'
    owner.add_model("theirs", MODEL.replace("class Order(Base):", f"class Theirs(Base):\n    {other}\n"))
    owner.edit(
        "src/my_service/models/base.py", "UNMANAGED_TABLES: tuple[str, ...] = ()", 'UNMANAGED_TABLES = ("rep*",)'
    )
    assert "No migration was written" in owner.make_revision("nothing").stdout
    query(database, "CREATE SCHEMA my_service")
    query(database, "CREATE TABLE my_service.report_2026 (id integer)")
    owner.alembic("upgrade", "head", url=database)
    assert "No new upgrade operations" in owner.alembic("check", url=database).stdout


def test_comparison_of_models_and_migrations_writes_nothing(owner: Owner, postgres: str) -> None:
    owner.add_model()
    before = set(owner.versions.glob("*.py"))
    with pytest.raises(AssertionError, match="New upgrade operations detected"):
        owner.test_migrations(postgres)
    assert set(owner.versions.glob("*.py")) == before


def test_missing_database_is_one_line(owner: Owner, database: str) -> None:
    finished = owner.alembic("upgrade", "head", url=f"{database}_missing")
    assert finished.returncode != 0
    assert "does not exist" in finished.stdout
    assert "Traceback" not in finished.stdout + finished.stderr
    assert len((finished.stdout + finished.stderr).splitlines()) < 5


def test_sql_without_a_database_is_for_postgresql(owner: Owner) -> None:
    owner.add_model()
    owner.revise("add orders")
    printed = owner.python.run(owner.project, "alembic", "upgrade", "head", "--sql").stdout
    assert printed.startswith("BEGIN;")
    assert "SET lock_timeout = '5s'" in printed
    assert "plan JSONB" in printed


def test_suite_runs_on_a_database_that_newer_code_migrated(
    project: Render, environment: EnvironmentOf, database: str
) -> None:
    service = project()
    python = environment(service)
    python.run(service, "alembic", "upgrade", "head", DATABASE_URL=database)
    query(database, "ALTER TABLE my_service.item ADD COLUMN newer integer")
    query(database, "UPDATE my_service.alembic_version SET version_num = 'newer'")
    python.run(service, "pytest", "-q", TEST_DATABASE_URL=database, TEST_DATABASE_MIGRATED="1")
    assert query(database, "SELECT version_num FROM my_service.alembic_version") == [("newer",)]
    assert query(database, "SELECT n_tup_ins > 0 FROM pg_stat_user_tables WHERE relname = 'item'") == [(True,)]
