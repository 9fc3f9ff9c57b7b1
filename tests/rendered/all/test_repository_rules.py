"""Rules that both kinds of repository must follow: unique columns, order, filters and locks."""

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from support.models import HTTPSample, InMemorySamples, SQLAlchemySamples, create_sample_table

from my_service.errors import ConflictError, NotFoundError
from my_service.repositories import PageRequest, Repository


@pytest.fixture(params=["memory", "sqlalchemy"])
async def samples(
    request: pytest.FixtureRequest, session: AsyncSession, connection: AsyncConnection
) -> Repository[HTTPSample]:
    if request.param == "memory":
        return InMemorySamples()
    await create_sample_table(connection)
    return SQLAlchemySamples(session)


async def test_change_to_a_taken_name_raises_conflict_error(samples: Repository[HTTPSample]) -> None:
    await samples.add(HTTPSample(name="first"))
    second = await samples.add(HTTPSample(name="second"))
    assert second.updated_at.tzinfo is not None
    second.note = "changed"
    assert (await samples.save(second)).note == "changed"
    second.name = "first"
    with pytest.raises(ConflictError):
        await samples.save(second)


async def test_other_constraints_raise_conflict_error(session: AsyncSession, connection: AsyncConnection) -> None:
    await create_sample_table(connection)
    with pytest.raises(ConflictError, match=r"This HTTPSample .* violates a constraint"):
        await SQLAlchemySamples(session).add(HTTPSample(note="no name"))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["id", "name"])
async def test_pages_are_sorted(samples: Repository[HTTPSample], sort: str, descending: bool) -> None:
    added = [await samples.add(HTTPSample(name=name)) for name in "badce"]
    expected = sorted(added, key=lambda sample: getattr(sample, sort), reverse=descending)
    found = list(await samples.list(PageRequest(limit=3, sort=sort, descending=descending)))
    position = (getattr(found[-1], sort), found[-1].id)
    found += await samples.list(PageRequest(limit=3, sort=sort, descending=descending, after=position))
    assert [sample.name for sample in found] == [sample.name for sample in expected]
    assert await samples.count() == 5


async def test_lists_can_be_filtered(samples: Repository[HTTPSample]) -> None:
    for name in "abc":
        await samples.add(HTTPSample(name=name))
    found = await samples.list(PageRequest(limit=3, filters={"name": "b"}))
    assert [sample.name for sample in found] == ["b"]


async def test_deleted_entity_cannot_be_locked(samples: Repository[HTTPSample]) -> None:
    sample = await samples.add(HTTPSample(name="a"))
    await samples.delete(sample)
    assert await samples.count() == 0
    assert await samples.find(sample.id) is None
    with pytest.raises(NotFoundError):
        await samples.get(sample.id, lock=True)
