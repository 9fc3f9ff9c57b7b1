"""Adopt a small hand-written service by the commands of `skills/adopt-a-service`, and update it afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from conftest import (
    ROOT,
    EnvironmentOf,
    Render,
    git_init,
    query,
    replace,
    run,
)
from documents import Instead, follow, install

SKILL = ROOT / "skills/adopt-a-service/SKILL.md"
ADDRESS = r"https://git\.example\.com/platform/standfast\.git"

SERVICE = {
    ".gitignore": "__pycache__/\n.venv/\n.vscode/\n*.log\n",
    ".vscode/settings.json": "{}\n",
    "README.md": "# Orders\n",
    "Makefile": "run:\n\tuvicorn app.main:app\n",
    "pyproject.toml": '[project]\nname = "orders"\nversion = "2.3"\ndependencies = ["fastapi", "sqlalchemy"]\n',
    "alembic.ini": "[alembic]\nscript_location = migrations\nprepend_sys_path = .\n",
    "app/__init__.py": "",
    "app/settings.py": """from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    db_uri: str = "postgresql+asyncpg://localhost/orders"
    orders_limit: int = 2


settings = Settings()
""",
    "app/db.py": """from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from app.settings import settings

engine = create_async_engine(settings.db_uri)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session
""",
    "app/models.py": """from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(20), unique=True)
    note: Mapped[str | None] = mapped_column(String(100), index=True)
""",
    "app/orders.py": """from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import get_session
from app.models import Order
from app.settings import settings

router = APIRouter(prefix="/orders")


class NewOrder(BaseModel):
    number: str
    note: str | None = None


class OrderOut(NewOrder):
    model_config = ConfigDict(from_attributes=True)
    id: int


@router.post("", status_code=201, response_model=OrderOut)
async def create(data: NewOrder, session: AsyncSession = Depends(get_session)) -> Order:
    if len((await session.scalars(select(Order))).all()) >= settings.orders_limit:
        raise HTTPException(403, "There are too many orders.")
    order = Order(**data.model_dump())
    session.add(order)
    await session.commit()
    return order


@router.get("/{order_id}", response_model=OrderOut)
async def read(order_id: int, session: AsyncSession = Depends(get_session)) -> Order:
    order = await session.get(Order, order_id)
    if order is None:
        raise HTTPException(404)
    return order
""",
    "app/main.py": """from fastapi import FastAPI

from app import orders

app = FastAPI()
app.include_router(orders.router, prefix="/api")
""",
    "migrations/env.py": """import asyncio

from alembic import context

from app.db import engine
from app.models import Base


def run_migrations(connection):
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    async with engine.connect() as connection:
        await connection.run_sync(run_migrations)


asyncio.run(main())
""",
    "migrations/versions/0001_orders.py": '''"""Create orders."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("number", sa.String(20), nullable=False),
        sa.UniqueConstraint("number"),
    )


def downgrade() -> None:
    op.drop_table("orders")
''',
    "migrations/versions/0002_note.py": '''"""Add notes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("orders", sa.Column("note", sa.String(100)))
    op.create_index("ix_orders_note", "orders", ["note"])


def downgrade() -> None:
    op.drop_index("ix_orders_note", "orders")
    op.drop_column("orders", "note")
''',
    "tests/conftest.py": """from collections.abc import AsyncIterator

import pytest
from app.main import app
from httpx import ASGITransport, AsyncClient


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        yield client
""",
    "tests/test_orders.py": """from httpx import AsyncClient


async def test_orders(client: AsyncClient) -> None:
    created = await client.post("/api/orders", json={"number": "A-1"})
    assert created.status_code == 201
    found = await client.get(f"/api/orders/{created.json()['id']}")
    assert found.json() == created.json()
    assert (await client.post("/api/orders", json={"number": "A-2"})).status_code == 201
    assert (await client.post("/api/orders", json={"number": "A-3"})).status_code == 403
""",
}
"""The files of a hand-written service, before the template."""

ROUTE = "src/order_service/api/routes/orders.py"
MODEL = "src/order_service/models/order.py"
DEPENDS = "session: AsyncSession = Depends(get_session)"
EDITS = (
    (
        MODEL,
        "class Base(DeclarativeBase):\n    pass",
        "class OrderBase(DeclarativeBase):\n    metadata = Base.metadata",
    ),
    (MODEL, "class Order(Base):", "class Order(OrderBase):"),
    (MODEL, "\n\n\nclass OrderBase", "\n\nfrom .base import Base\n\n\nclass OrderBase"),
    (MODEL, "import String", "import String, UniqueConstraint"),
    (MODEL, "String(20), unique=True", "String(20)"),
    (MODEL, '"orders"\n', '"orders"\n    __table_args__ = (UniqueConstraint("number", name="orders_number_key"),)\n'),
    (ROUTE, "from app.db import get_session\nfrom app.models import Order\nfrom app.settings import settings\n", ""),
    (ROUTE, "from sqlalchemy.ext.asyncio import AsyncSession\n", ""),
    (ROUTE, "import APIRouter, Depends,", "import APIRouter,"),
    (
        ROUTE,
        "\nrouter = ",
        "\nfrom ...models.order import Order\nfrom ..dependencies import SessionDep, SettingsDep\n\nrouter = ",
    ),
    (ROUTE, f"NewOrder, {DEPENDS}", "NewOrder, session: SessionDep, settings: SettingsDep"),
    (ROUTE, DEPENDS, "session: SessionDep"),
    ("src/order_service/config.py", '"/api/v1"', '"/api"'),
    ("src/order_service/config.py", "1024  # entries\n", "1024  # entries\n    orders_limit: Positive = 2\n"),
    (".env.example", "CACHE_SIZE=1024\n", "CACHE_SIZE=1024\nORDERS_LIMIT=2\n"),
    (".env.example", "API_PREFIX=/api/v1", "API_PREFIX=/api"),
    ("tests/test_orders.py", "from httpx import", "from httpx2 import"),
)
"""The edits that the skill describes in words: path, former text, new text."""


def written(directory: Path) -> Path:
    for name, text in SERVICE.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    git_init(directory)
    return directory


@pytest.fixture
def next_template(template: Path, tmp_path: Path) -> Path:
    """Return a clone of the template with the newest tag v999.0.0."""
    clone = tmp_path / "standfast"
    run("git", "clone", "--quiet", str(template), str(clone), cwd=tmp_path)
    return clone


def commands(template: Path, *more: Instead) -> tuple[Instead, ...]:
    """Return the replacements that let the skill's commands use this template, and programs that are installed."""
    programs = Path(sys.executable).parent
    standfast = f"env PYTHONPATH={ROOT} {sys.executable} -m standfast"
    return (
        Instead(rf"uvx --refresh --from git\+{ADDRESS} standfast", standfast, "the working tree"),
        Instead(r"\buvx copier\b", str(programs / "copier"), "the same program, already installed"),
        Instead(ADDRESS, str(template), "the working tree"),
        *more,
    )


def first_steps(document: str) -> str:
    return document.partition("## Decide for")[0]


def test_rendering_beside_a_service_changes_none_of_its_files(next_template: Path, tmp_path: Path) -> None:
    service = written(tmp_path / "orders")
    follow(first_steps(SKILL.read_text("utf-8")), service, commands(next_template))
    kept = {name: (service / name).read_text("utf-8") for name in SERVICE}
    assert kept == SERVICE  # also the file that git ignores
    assert run("git", "diff", "--name-only", "--diff-filter=a", "HEAD^", "HEAD", cwd=service).stdout == ""
    answers = yaml.safe_load((service / ".copier-answers.yml").read_text("utf-8"))
    assert (answers["_commit"], answers["_src_path"]) == ("v999.0.0", str(next_template))


@pytest.mark.slow
def test_adopted_service_keeps_its_rows_and_routes_and_gets_updates(
    next_template: Path, tmp_path: Path, render: Render, environment: EnvironmentOf, database: str
) -> None:
    service = written(tmp_path / "orders")
    installed = environment(render(include_example=False))
    old = {"DB_URI": database.replace("postgresql://", "postgresql+asyncpg://"), "PYTHONPATH": str(service)}
    run(installed.bin / "alembic", "upgrade", "0001", cwd=service, **old)
    query(database, "INSERT INTO orders (number) VALUES ('A-1')")

    install(service, installed)
    (tmp_path / "edits.py").write_text(
        "from pathlib import Path\n"
        f"for path, old, new in {EDITS!r}:\n"
        "    text = Path(path).read_text()\n"
        "    assert old in text, (path, old)\n"
        "    Path(path).write_text(text.replace(old, new, 1))\n"
    )
    # Without `touch`, make would install all packages again, because pyproject.toml is newer.
    edits = f"{sys.executable} ../edits.py\ntouch .venv/.installed\nmake format"
    follow(
        SKILL.read_text("utf-8"),
        service,
        commands(
            next_template,
            Instead("^make format$", edits, "the edits that the skill describes in words"),
        ),
        PYTHONPATH=str(service / "src"),
        DATABASE_URL=database,
    )
    assert run("git", "status", "--porcelain", cwd=service).stdout == ""
    last = max(path for path in (tmp_path / "outputs").iterdir() if not path.suffix)
    assert last.read_text("utf-8").endswith("There is nothing to update.\n")
    # The rows are there, with the newest migration.
    assert query(database, "SELECT number, note FROM orders") == [("A-1", None)]
    assert query(database, "SELECT version_num FROM alembic_version") == [("0002",)]
    history = run("git", "log", "--follow", "--format=%s", "--", ROUTE, cwd=service).stdout.splitlines()
    assert history[-1] == "Start"

    # The next release changes files that the service took over, edited or kept.
    replace(next_template, "template/alembic.ini", "[alembic]\n", "[alembic]\n# Newer.\n")
    config = "template/src/{{ package_name }}/config.py.jinja"
    replace(next_template, config, "database_pool_size: Positive = 5", "database_pool_size: Positive = 6")
    run("git", "commit", "--quiet", "--all", "--message", "Next", cwd=next_template)
    run("git", "tag", "v1000.0.0", cwd=next_template)
    standfast = (sys.executable, "-m", "standfast", "update")
    printed = run(*standfast, cwd=service, PYTHONPATH=str(ROOT)).stdout
    assert "Conflicts" not in printed
    settings = (service / "src/order_service/config.py").read_text("utf-8")
    assert "database_pool_size: Positive = 6" in settings
    assert "orders_limit: Positive = 2" in settings
    assert "# Newer." in (service / "alembic.ini").read_text("utf-8")
    assert (service / "README.md").read_text("utf-8") == SERVICE["README.md"]
