"""Rules that both kinds of repository must follow, beyond the contract in `tests/test_repositories.py`."""

import enum
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Index, MetaData, String, UniqueConstraint, false, func, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from my_service.database import Database
from my_service.errors import ConflictError, NotFoundError
from my_service.models import Base, Versioned
from my_service.models.types import PortableNumeric
from my_service.repositories import InMemoryRepository, PageRequest, Repository, SQLAlchemyRepository


class Color(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Counted(Versioned, Base):
    metadata = MetaData(schema=Base.metadata.schema, naming_convention=Base.metadata.naming_convention)

    name: Mapped[str] = mapped_column(String(50), unique=True)
    color: Mapped[Color] = mapped_column(default=Color.RED)
    size: Mapped[int] = mapped_column(server_default="3")
    weight: Mapped[Decimal] = mapped_column(PortableNumeric(6, 2), server_default="1.50")
    sold: Mapped[bool] = mapped_column(server_default=false())
    hidden: Mapped[bool] = mapped_column(server_default=text("false"))
    label: Mapped[str] = mapped_column(server_default="")
    rank: Mapped[int] = mapped_column(server_default=text("7"))
    sold_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    extra: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    plan: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    tags: Mapped[list[str]] = mapped_column(default=list)
    street: Mapped[str | None]
    city: Mapped[str | None]
    code: Mapped[str | None]

    __table_args__ = (
        UniqueConstraint("street", "city"),
        Index(None, "code", unique=True),
        Index("ix_counted_id", text("id"), unique=True),
        Index("ix_counted_rank", "rank", unique=True, postgresql_where=text("rank > 7"), sqlite_where=text("rank > 7")),
    )


Store = Callable[[], AbstractAsyncContextManager[Repository[Counted]]]


@pytest.fixture(params=["memory", "sqlalchemy"])
async def store(request: pytest.FixtureRequest, database: Database, connection: AsyncConnection) -> Store:
    """Return a function that opens a repository for one transaction."""
    memory = InMemoryRepository(Counted)
    await connection.run_sync(Counted.metadata.create_all)

    @asynccontextmanager
    async def open_memory() -> AsyncIterator[Repository[Counted]]:
        yield memory

    @asynccontextmanager
    async def open_sqlalchemy() -> AsyncIterator[Repository[Counted]]:
        async with database.session() as session:
            yield SQLAlchemyRepository(session, Counted)

    return open_memory if request.param == "memory" else open_sqlalchemy


async def add(store: Store, **values: Any) -> Counted:
    async with store() as items:
        return await items.add(Counted(**values))


async def stored(store: Store, entity: Counted) -> dict[str, Any]:
    async with store() as items:
        return (await items.get(entity.id)).to_dict()


async def test_defaults_of_python_and_of_the_server_are_filled_in(store: Store) -> None:
    added = await add(store, name="a")
    found = await stored(store, added)
    assert found.items() >= added.to_dict().items()
    times = [found.pop(name) for name in ("created_at", "updated_at", "sold_at")]
    assert all(abs(datetime.now(UTC) - time) < timedelta(minutes=1) for time in times)
    assert found.pop("id") == added.id
    assert found == {
        "name": "a",
        "color": Color.RED,
        "size": 3,
        "weight": Decimal("1.50"),
        "sold": False,
        "hidden": False,
        "label": "",
        "rank": 7,
        "extra": {},
        "plan": {},
        "tags": [],
        "street": None,
        "city": None,
        "code": None,
        "version": 1,
    }


@pytest.mark.parametrize(
    ("values", "fields"),
    [({"name": "a"}, "name"), ({"code": "1"}, "code"), ({"street": "b", "city": "c"}, "street and city")],
)
async def test_duplicates_are_refused(store: Store, values: dict[str, str], fields: str) -> None:
    await add(store, name="a", code="1", street="b", city="c")
    await add(store, name="b", street="b", city="other")
    await add(store, name="c", street="b")
    await add(store, name="d", street="b")  # NULL is equal to nothing.
    with pytest.raises(ConflictError, match=f"Another Counted has the same {fields}"):
        await add(store, **({"name": "e"} | values))
    async with store() as items:
        assert await items.count() == 4


async def test_second_entity_with_the_same_id_is_refused(store: Store) -> None:
    added = await add(store, name="a")
    with pytest.raises(ConflictError, match="Another Counted has the same id"):
        await add(store, name="b", id=added.id)
    assert (await stored(store, added))["name"] == "a"


@pytest.mark.parametrize(("change", "error"), [({"name": "a"}, ConflictError), ({"name": None}, IntegrityError)])
async def test_no_part_of_a_refused_change_is_stored(
    store: Store, change: dict[str, Any], error: type[Exception]
) -> None:
    await add(store, name="a")
    added = await add(store, name="b")
    before = await stored(store, added)

    async def save() -> None:
        async with store() as items:
            entity = await items.get(added.id)
            entity.label, entity.tags = "changed", ["changed"]
            for name, value in change.items():
                setattr(entity, name, value)
            await items.save(entity)

    with pytest.raises(error):
        await save()
    assert await stored(store, added) == before


async def test_save_without_a_change_keeps_the_version(store: Store) -> None:
    added = await add(store, name="a")
    before = await stored(store, added)
    async with store() as items:
        entity = await items.get(added.id)
        entity.name = "a"
        await items.save(entity)
    assert await stored(store, added) == before


async def test_saved_changes_in_dictionaries_and_lists_are_stored(store: Store) -> None:
    added = await add(store, name="a", plan={"steps": [1]}, tags=["x"])
    async with store() as items:
        entity = await items.get(added.id)
        entity.plan["more"] = {"a": 1}
        entity.tags.append("y")
        await items.save(entity)
    found = await stored(store, added)
    assert (found["plan"], found["tags"], found["version"]) == ({"steps": [1], "more": {"a": 1}}, ["x", "y"], 2)


async def test_deleted_entity_cannot_be_read_or_deleted_again(store: Store) -> None:
    added = await add(store, name="a")
    async with store() as items:
        await items.delete(await items.get(added.id))
        assert await items.find(added.id) is None
        with pytest.raises(NotFoundError):
            await items.get(added.id, lock=True)
    with pytest.raises(ConflictError, match="Another request has changed this Counted"):
        async with store() as items:
            await items.delete(added)


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_of_equal_values_have_each_entity_once(store: Store, descending: bool) -> None:
    added = [await add(store, name=name, size=size) for name, size in zip("edcba", (1, 2, 1, 2, 1), strict=True)]
    found: list[Counted] = []
    async with store() as items:
        while page := await items.list(
            PageRequest(
                limit=2, sort="size", descending=descending, after=(found[-1].size, found[-1].id) if found else None
            )
        ):
            found += page
    expected = sorted(added, key=lambda entity: (entity.size, entity.id), reverse=descending)
    assert [entity.name for entity in found] == [entity.name for entity in expected]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"color": Color.BLUE}, "bd"),
        ({"code": None}, "ab"),
        ({"sold": False}, "acd"),
        ({"color": Color.BLUE, "code": None}, "b"),
        ({"weight": Decimal("2.5")}, "c"),
        ({"name": "z"}, ""),
    ],
)
async def test_lists_can_be_filtered(store: Store, filters: dict[str, object], names: str) -> None:
    await add(store, name="a")
    await add(store, name="b", color=Color.BLUE, sold=True)
    await add(store, name="c", code="1", weight=Decimal("2.50"))
    await add(store, name="d", code="2", color=Color.BLUE)
    async with store() as items:
        found = await items.list(PageRequest(limit=9, sort="name", filters=filters))
    assert "".join(entity.name for entity in found) == names


async def test_change_in_memory_is_not_stored_before_it_is_saved() -> None:
    items = InMemoryRepository(Counted)
    added = await items.add(Counted(name="a", plan={"steps": [1]}, tags=["x"]))
    for entity in (added, await items.get(added.id), *await items.list(PageRequest(limit=1))):
        entity.name = "changed"
        entity.plan["steps"].append(2)
        entity.tags.append("y")
    found = await items.get(added.id)
    assert (found.name, found.plan, found.tags) == ("a", {"steps": [1]}, ["x"])


async def test_stale_version_in_memory_is_refused() -> None:
    items = InMemoryRepository(Counted)
    added = await items.add(Counted(name="a"))
    stale = await items.get(added.id)
    added.label = "first"
    await items.save(added)
    stale.label = "second"
    with pytest.raises(ConflictError, match="Another request has changed this Counted"):
        await items.save(stale)
    assert (await items.get(added.id)).label == "first"


async def test_default_that_memory_cannot_evaluate_is_named() -> None:
    class Evaluated(Base):
        metadata = MetaData()

        secret: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))

    with pytest.raises(NotImplementedError, match=r"evaluated\.secret.*gen_random_uuid"):
        await InMemoryRepository(Evaluated).add(Evaluated())
