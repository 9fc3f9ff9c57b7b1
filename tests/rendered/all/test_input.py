"""Values that databases cannot store, in bodies, JSON attributes and queries: 4xx without an error in the log."""

import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Query
from httpx2 import AsyncClient
from pydantic import AwareDatetime, BaseModel, ConfigDict, SecretStr
from real_pool import connected, opened, running
from sqlalchemy import BigInteger, MetaData
from sqlalchemy.orm import Mapped, mapped_column
from structlog.typing import EventDict

from my_service.api.dependencies import SessionDep
from my_service.config import Settings
from my_service.models import Base
from my_service.models.types import PortableNumeric
from my_service.repositories import PageRequest, SQLAlchemyRepository
from my_service.schemas.base import RequestModel


class Entry(Base):
    metadata = MetaData(schema=Base.metadata.schema, naming_convention=Base.metadata.naming_convention)

    text: Mapped[str | None]
    secret: Mapped[str | None]
    whole: Mapped[int | None] = mapped_column(BigInteger)
    number: Mapped[float | None]
    amount: Mapped[Decimal | None] = mapped_column(PortableNumeric(12, 2))
    at: Mapped[datetime | None]
    day: Mapped[date | None]
    data: Mapped[dict[str, Any] | None]
    tags: Mapped[list[str] | None]


class Part(BaseModel):
    name: Any


class Fields(RequestModel):
    part: Part | None = None
    text: str | None = None
    secret: SecretStr | None = None
    whole: int | None = None
    number: float | None = None
    amount: Decimal | None = None
    at: AwareDatetime | None = None
    day: date | None = None
    data: dict[str, Any] | None = None
    tags: list[str] | None = None


class EntryRead(Fields):
    """Returns what was stored, so that values that JSON cannot express fail too."""

    model_config = ConfigDict(from_attributes=True)


class Filters(RequestModel):
    text: str | None = None
    whole: int | None = None
    number: float | None = None
    at: AwareDatetime | None = None


@pytest.fixture(scope="module")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    async with opened(settings, Entry.metadata), running(settings) as app:

        @app.post("/entries")
        async def create(data: Fields, session: SessionDep) -> EntryRead:
            values = data.model_dump(exclude={"part"})
            values["secret"] = None if data.secret is None else data.secret.get_secret_value()
            entry = await SQLAlchemyRepository(session, Entry).add(Entry(**values))
            await session.refresh(entry)
            return EntryRead.model_validate(entry)

        @app.get("/entries")
        async def read_list(query: Annotated[Filters, Query()], session: SessionDep) -> int:
            filters = query.model_dump(exclude_none=True)
            return len(await SQLAlchemyRepository(session, Entry).list(PageRequest(limit=9, filters=filters)))

        @app.get("/entries/{entry_id}")
        async def read(entry_id: UUID, session: SessionDep) -> None:
            await SQLAlchemyRepository(session, Entry).get(entry_id)

        @app.get("/numbers/{number}")
        async def read_number(number: int, session: SessionDep) -> int:
            return len(await SQLAlchemyRepository(session, Entry).list(PageRequest(limit=9, filters={"whole": number})))

        @app.post("/unchecked")
        async def create_unchecked(values: dict[str, Any], session: SessionDep) -> None:
            await SQLAlchemyRepository(session, Entry).add(Entry(**values))

        yield app


@pytest.fixture(scope="module")
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with connected(app) as client:
        client.headers["Content-Type"] = "application/json"
        yield client


async def assert_refused(client: AsyncClient, body: str, log_lines: list[EventDict]) -> None:
    response = await client.post("/entries", content=body)
    assert (response.status_code, response.headers["Content-Type"]) in [
        (400, "application/problem+json"),
        (422, "application/problem+json"),
    ], response.text
    assert not [line for line in log_lines if line["log_level"] == "error"]


TEXTS = [r'"\u0000"', r'"a\u0000b"', r'"\ud800"', r'"\udfff\ud800"']
TIMES = ['"2026-01-01T00:00:00"', '"2026-01-01"', '"0001-01-01T00:00:00+01:00"', '"9999-12-31T23:59:59-01:00"', "1e300"]
NOT_FINITE = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"]
NUMBERS = [*NOT_FINITE, "1" + 400 * "0"]
WHOLE = [str(10**30), str(2**63), str(-(2**63) - 1), "1e30", "9" * 5000]
VALUES = {
    "text": TEXTS,
    "secret": TEXTS,
    "whole": [*WHOLE, *NUMBERS],
    "number": NUMBERS,
    "amount": [*NUMBERS, "9" * 5000, '"NaN"', '"1e1000000"'],
    "at": [*TIMES, '"10000-01-01T00:00:00Z"', "NaN"],
    "day": ['"10000-01-01"', '"0000-01-01"', "1e300", "NaN"],
    "unknown": ["1"],
    "part": [f'{{"name": {value}}}' for value in [*TEXTS, *NOT_FINITE]],
    "tags": [f"[{text}]" for text in TEXTS],
    "data": [
        *(f'{{"deep": [{{"a": {value}}}]}}' for value in [*TEXTS, *NOT_FINITE]),
        *(f"{{{text}: 1}}" for text in TEXTS),
        f'{{"a": {"[" * 5000}{"]" * 5000}}}',
        f'{{"a": {"[" * 5000}}}',
    ],
}
CASES = [(name, value) for name, values in VALUES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{name} {value[:40]} {len(value)}" for name, value in CASES])
async def test_value_in_a_body_is_refused(
    client: AsyncClient, log_lines: list[EventDict], name: str, value: str
) -> None:
    await assert_refused(client, f'{{"{name}": {value}}}', log_lines)


BODIES = {
    "open lists": "[" * 5000,
    "lists": "[" * 5000 + "]" * 5000,
    "open objects": '{"text":' * 5000,
    "list": "[]",
    "null": "null",
    "nothing": "",
    "half an object": "{",
    "surrogate": r'"\ud800"',
    "NaN": "NaN",
}


@pytest.mark.parametrize("body", BODIES)
async def test_body_that_is_no_object_is_refused(client: AsyncClient, log_lines: list[EventDict], body: str) -> None:
    await assert_refused(client, BODIES[body], log_lines)


@pytest.mark.parametrize("depth", [10, 90, 110, 500, 950])
async def test_body_with_many_levels_is_refused(client: AsyncClient, log_lines: list[EventDict], depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        body = f'{{"data": {{"a": {opening * depth}1{closing * depth}}}}}'
        response = await client.post("/entries", content=body)
        if depth < 100:
            assert response.json()["data"] == json.loads(body)["data"]
        else:
            assert response.status_code in (400, 422), response.text
    assert not [line for line in log_lines if line["log_level"] == "error"]


@pytest.mark.parametrize(
    "body",
    [
        r'{"text": "\u0001\ud83d\ude00\uffff", "secret": "", "tags": ["\ud83d\ude00"]}',
        r'{"whole": 9223372036854775807, "number": 1.7976931348623157e308, "amount": 9999999999.99}',
        '{"at": "0001-01-01T00:00:00Z"}',
        '{"at": "9999-12-31T23:59:59+14:00", "day": "9999-12-31"}',
        '{"data": {"large": 10000000000000000000000}}',
        r'{"data": {"\ud83d\ude00": [1.5, null, true, {"": []}]}}',
    ],
)
async def test_unusual_value_is_stored(client: AsyncClient, body: str) -> None:
    response = await client.post("/entries", content=body)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "query",
    [
        "text=%00",
        "whole=1e30",
        f"whole={10**30}",
        f"whole={2**63}",
        "number=nan",
        "number=inf",
        "at=%00",
        "at=2026-01-01T00:00:00",
        "at=0001-01-01T00:00:00%2B01:00",
        "txet=a",
        "text=a&text=b&whole=x",
    ],
)
async def test_query_is_refused(client: AsyncClient, log_lines: list[EventDict], query: str) -> None:
    response = await client.get(f"/entries?{query}")
    assert response.status_code == 422, response.text
    assert not [line for line in log_lines if line["log_level"] == "error"]


async def test_response_names_only_the_first_hundred_errors(client: AsyncClient) -> None:
    response = await client.post("/entries", json=dict.fromkeys(map(str, range(50_000))))
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 100


@pytest.mark.parametrize("query", ["text=%ED%A0%80", "text=%FF", "text=%EF%BF%BF"])
async def test_query_that_is_not_utf8_finds_nothing(client: AsyncClient, query: str) -> None:
    response = await client.get(f"/entries?{query}")
    assert (response.status_code, response.json()) == (200, 0)


@pytest.mark.parametrize("body", [f'{{"whole": {10**30}}}', r'{"text": "\ud800"}'])
async def test_value_that_no_schema_checks_is_refused(
    client: AsyncClient, log_lines: list[EventDict], body: str
) -> None:
    response = await client.post("/unchecked", content=body)
    assert response.status_code == 422
    assert response.json()["detail"] == "The database cannot store or compare one of the values."
    assert not [line for line in log_lines if line["log_level"] == "error"]


@pytest.mark.parametrize(
    "path",
    [
        f"/numbers/{10**30}",
        f"/numbers/{-(2**63) - 1}",
        "/numbers/1e3",
        "/entries/%00",
        "/entries/%ED%A0%80",
        "/%00",
        "/entries/1%2F2",
    ],
)
async def test_path_is_refused(client: AsyncClient, log_lines: list[EventDict], path: str) -> None:
    assert (await client.get(path)).status_code in (404, 422)
    assert not [line for line in log_lines if line["log_level"] == "error"]
