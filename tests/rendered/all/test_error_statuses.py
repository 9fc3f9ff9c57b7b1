"""Statuses of errors over HTTP, with real commits: constraints, stale versions, and errors that handlers raise."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI, HTTPException
from httpx2 import AsyncClient
from real_pool import connected, delete_rows, opened, running
from sqlalchemy import (
    URL,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
    func,
    insert,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship
from structlog.typing import EventDict

from my_service.api.dependencies import DatabaseDep, SessionDep
from my_service.config import Settings
from my_service.errors import (
    ConflictError,
    DatabaseUnavailableError,
    InvalidValueError,
    NotFoundError,
    PreconditionFailedError,
    ServiceError,
)
from my_service.models import Base, Versioned
from my_service.repositories import SQLAlchemyRepository

TABLES = MetaData(schema=Base.metadata.schema, naming_convention=Base.metadata.naming_convention)
PREFIX = f"{TABLES.schema}." if TABLES.schema else ""

branch_label = Table(
    "branch_label",
    TABLES,
    Column("branch_id", ForeignKey(f"{PREFIX}branch.id"), primary_key=True),
    Column("label_id", ForeignKey(f"{PREFIX}label.id"), primary_key=True),
)


class Label(Base):
    metadata = TABLES

    name: Mapped[str]


class Branch(Versioned, Base):
    metadata = TABLES

    name: Mapped[str | None] = mapped_column(unique=True)
    city: Mapped[str | None]
    street: Mapped[str | None]
    code: Mapped[str | None]
    email: Mapped[str | None] = mapped_column()
    phone: Mapped[str | None]
    size: Mapped[int] = mapped_column(default=1)
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{PREFIX}branch.id"))
    owner_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(f"{PREFIX}branch.id", deferrable=True, initially="DEFERRED")
    )
    labels: Mapped[list[Label]] = relationship(secondary=branch_label, lazy="immediate")

    __table_args__ = (
        UniqueConstraint("city", "street"),
        Index(None, "code", unique=True),
        Index("ix_branch_email", func.lower(email), unique=True),
        Index("ix_branch_phone", text("lower(phone)"), unique=True),
        CheckConstraint("size < 100", name="size"),
    )


class Unnamed(Base):
    """Its constraints have no name, as those of a violated foreign key on SQLite."""

    metadata = MetaData()


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    async with opened(settings, TABLES), running(settings) as app:
        add_routes(app)
        yield app


@pytest.fixture(scope="module")
async def module_client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with connected(app) as client:
        yield client


@pytest.fixture
async def client(app: FastAPI, module_client: AsyncClient) -> AsyncIterator[AsyncClient]:
    """A client whose rows are deleted after the test."""
    yield module_client
    await delete_rows(app.state.database, TABLES)


def add_routes(app: FastAPI) -> None:
    @app.post("/branches")
    async def create(values: dict[str, Any], session: SessionDep) -> UUID:
        return (await SQLAlchemyRepository(session, Branch).add(Branch(**parsed(values)))).id

    @app.post("/without-repository")
    async def add(values: dict[str, Any], session: SessionDep) -> None:
        session.add(Branch(**parsed(values)))

    @app.delete("/branches/{branch_id}")
    async def remove(branch_id: UUID, session: SessionDep) -> None:
        branches = SQLAlchemyRepository(session, Branch)
        await branches.delete(await branches.get(branch_id))

    @app.post("/labels")
    async def create_label(values: dict[str, str], session: SessionDep) -> UUID:
        return (await SQLAlchemyRepository(session, Label).add(Label(**values))).id

    @app.delete("/labels/{label_id}")
    async def remove_label(label_id: UUID, session: SessionDep) -> None:
        labels = SQLAlchemyRepository(session, Label)
        await labels.delete(await labels.get(label_id))

    @app.put("/branches/{branch_id}/labels/{label_id}")
    async def attach(branch_id: UUID, label_id: UUID, session: SessionDep) -> None:
        await session.execute(insert(branch_label).values(branch_id=branch_id, label_id=label_id))

    @app.get("/fails")
    async def fail() -> None:
        raise app.state.error

    async def read_twice(database: DatabaseDep, branch_id: UUID) -> Branch:
        async with database.read_only_session() as session:
            read = await session.get_one(Branch, branch_id)
        async with database.session() as session:
            (await session.get_one(Branch, branch_id)).city = "changed by another request"
        return read

    @app.post("/changed")
    async def change(database: DatabaseDep, branch_id: UUID) -> None:
        read = await read_twice(database, branch_id)
        async with database.session() as session:
            session.add(read)
            read.city = "lost"
            await SQLAlchemyRepository(session, Branch).save(read)

    @app.post("/changed-without-repository")
    async def change_at_the_commit(database: DatabaseDep, branch_id: UUID) -> None:
        read = await read_twice(database, branch_id)
        async with database.session() as session:
            session.add(read)
            read.city = "lost"


def parsed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: UUID(value) if name.endswith("_id") else value for name, value in values.items()}


def names_columns(app: FastAPI) -> bool:
    """Return whether the database names the foreign key that is violated."""
    url: URL = app.state.settings.database_url
    return url.get_backend_name() == "postgresql"


@pytest.mark.parametrize("path", ["/branches", "/without-repository"])
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "a"}, "name"),
        ({"city": "a", "street": "b"}, "city and street"),
        ({"code": "a"}, "code"),
        ({"email": "a@example.com"}, "email"),
        ({"phone": "a"}, "value"),
    ],
)
async def test_duplicate_returns_409_with_its_fields(
    client: AsyncClient, path: str, values: dict[str, str], field: str
) -> None:
    assert (await client.post(path, json=values)).status_code == 200
    response = await client.post(path, json=values)
    assert (response.status_code, response.json()["detail"]) == (409, f"Another Branch has the same {field}.")


@pytest.mark.parametrize("name", ["parent_id", "owner_id"])
@pytest.mark.parametrize("path", ["/branches", "/without-repository"])
async def test_reference_to_a_missing_row_returns_422(app: FastAPI, client: AsyncClient, path: str, name: str) -> None:
    response = await client.post(path, json={name: str(uuid4())})
    assert response.status_code == 422
    expected = f"There is no Branch with this {name}." if names_columns(app) else "There is no entity with this value."
    assert response.json()["detail"] == expected


@pytest.mark.parametrize("name", ["parent_id", "owner_id"])
async def test_referenced_row_cannot_be_deleted(app: FastAPI, client: AsyncClient, name: str) -> None:
    branch = (await client.post("/branches", json={})).json()
    child = (await client.post("/branches", json={name: branch})).json()
    response = await client.delete(f"/branches/{branch}")
    # At the commit, SQLite does not say whether a row was added or deleted.
    assert response.status_code == (409 if names_columns(app) or name == "parent_id" else 422)
    if names_columns(app):
        assert response.json()["detail"] == "This Branch cannot be deleted while another Branch refers to it."
    assert (await client.delete(f"/branches/{child}")).status_code == 200
    assert (await client.delete(f"/branches/{branch}")).status_code == 200


async def test_constraints_of_association_tables_are_explained(app: FastAPI, client: AsyncClient) -> None:
    branch = (await client.post("/branches", json={})).json()
    label = (await client.post("/labels", json={"name": "new"})).json()
    attached = f"/branches/{branch}/labels/{label}"
    assert (await client.put(attached)).status_code == 200
    twice = await client.put(attached)
    assert (twice.status_code, twice.json()["detail"]) == (
        409,
        "Another branch_label has the same branch_id and label_id.",
    )
    missing = await client.put(f"/branches/{branch}/labels/{uuid4()}")
    assert missing.status_code == 422
    used = await client.delete(f"/labels/{label}")
    assert used.status_code == 409
    if names_columns(app):
        assert missing.json()["detail"] == "There is no Label with this label_id."
        assert used.json()["detail"] == "This Label cannot be deleted while another branch_label refers to it."
    # Deleting the other side deletes the association too.
    assert (await client.delete(f"/branches/{branch}")).status_code == 200
    assert (await client.delete(f"/labels/{label}")).status_code == 200


@pytest.mark.parametrize(
    ("path", "values"), [("/branches", {"size": 100}), ("/without-repository", {"size": 100}), ("/labels", {})]
)
async def test_other_constraints_return_500_and_are_logged_once(
    client: AsyncClient, log_lines: list[EventDict], path: str, values: dict[str, Any]
) -> None:
    response = await client.post(path, json=values)
    assert (response.status_code, response.json().get("detail")) == (500, None)
    assert [line["event"] for line in log_lines if line["log_level"] == "error"] == ["unexpected_error"]


@pytest.mark.parametrize(("path", "name"), [("/changed", "Branch"), ("/changed-without-repository", "entity")])
async def test_change_of_a_stale_version_returns_409(client: AsyncClient, path: str, name: str) -> None:
    """The row is not locked. Another transaction changes it after it was read."""
    branch = (await client.post("/branches", json={})).json()
    response = await client.post(path, params={"branch_id": branch})
    assert response.status_code == 409
    assert response.json()["detail"] == f"Another request has changed this {name}. Read it again."


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServiceError, 400),
        (NotFoundError, 404),
        (ConflictError, 409),
        (PreconditionFailedError, 412),
        (InvalidValueError, 422),
        (DatabaseUnavailableError, 503),
    ],
)
async def test_subclasses_of_an_error_have_its_status(
    app: FastAPI, client: AsyncClient, error: type[ServiceError], status: int
) -> None:
    child = type("Child", (error,), {"__str__": lambda self: "Explained."})

    app.state.error = type("Grandchild", (child,), {})
    response = await client.get("/fails")
    assert (response.status_code, response.json()["detail"]) == (status, "Explained.")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HTTPException(418, "No coffee."), {"status": 418, "title": "I'm a Teapot", "detail": "No coffee."}),
        (HTTPException(499, "The client left."), {"status": 499, "title": "Status 499", "detail": "The client left."}),
        (HTTPException(599), {"status": 599, "title": "Status 599"}),
        (HTTPException(409, {"balance": 30, "detail": "Too little."}), {"balance": 30, "detail": "Too little."}),
        (HTTPException(409, {"status": 200, "title": "Fine"}), {"status": 409, "title": "Conflict"}),
        (HTTPException(409, {"instance": "/x", "request_id": "x"}), {"instance": "/fails", "request_id": "quoted"}),
        (HTTPException(409, {"id": UUID(int=1)}), {"id": str(UUID(int=1))}),
        (HTTPException(422, ["first", "second"]), {"detail": "['first', 'second']"}),
        (HTTPException(400, {}), {"status": 400, "title": "Bad Request"}),
    ],
    ids=str,
)
async def test_http_exception_is_a_problem_document(
    app: FastAPI, client: AsyncClient, error: HTTPException, expected: dict[str, object]
) -> None:
    app.state.error = error
    response = await client.get("/fails", headers={"X-Request-ID": "quoted"})
    assert response.status_code == error.status_code
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json().items() >= expected.items()


@pytest.mark.parametrize("status", [204, 304])
async def test_status_without_body_has_none(app: FastAPI, client: AsyncClient, status: int) -> None:
    app.state.error = HTTPException(status, "not shown", {"X-Header": "kept"})
    response = await client.get("/fails")
    assert (response.status_code, response.content, response.headers["X-Header"]) == (status, b"", "kept")


async def test_failed_requests_leave_no_connection_in_use(app: FastAPI, client: AsyncClient) -> None:
    await asyncio.gather(*(client.post("/branches", json={"name": "same"}) for _ in range(20)))
    assert app.state.database.pool_status().in_use == 0
