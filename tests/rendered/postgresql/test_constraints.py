"""Errors that only PostgreSQL raises, or that need two transactions at the same time."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from real_pool import connected, opened, running
from sqlalchemy import ForeignKey, MetaData, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import INT4RANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, mapped_column
from structlog.typing import EventDict

from my_service.api.dependencies import SessionDep
from my_service.config import Settings
from my_service.models import Base, Versioned
from my_service.models.types import PortableNumeric
from my_service.repositories import SQLAlchemyRepository

TABLES = MetaData(schema=Base.metadata.schema, naming_convention=Base.metadata.naming_convention)
PREFIX = f"{TABLES.schema}." if TABLES.schema else ""


class Booking(Versioned, Base):
    metadata = TABLES

    hours: Mapped[Range[int] | None] = mapped_column(INT4RANGE)
    title: Mapped[str | None] = mapped_column(String(5))
    seats: Mapped[int] = mapped_column(default=1)
    price: Mapped[Decimal | None] = mapped_column(PortableNumeric(4, 2))
    number: Mapped[int | None]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{PREFIX}booking.id", ondelete="RESTRICT"))

    __table_args__ = (
        ExcludeConstraint(("hours", "&&"), name="ex_booking_hours"),
        UniqueConstraint("number", deferrable=True, initially="DEFERRED"),
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    if settings.database_url.get_backend_name() != "postgresql":
        pytest.skip("This test needs PostgreSQL. Unset TEST_DATABASE_URL.")
    async with opened(settings, TABLES), running(settings) as app:

        @app.post("/bookings")
        async def create(values: dict[str, Any], session: SessionDep) -> UUID:
            if "hours" in values:
                values["hours"] = Range(*values["hours"])
            return (await SQLAlchemyRepository(session, Booking).add(Booking(**values))).id

        @app.delete("/bookings/{booking_id}")
        async def remove(booking_id: UUID, session: SessionDep) -> None:
            bookings = SQLAlchemyRepository(session, Booking)
            await bookings.delete(await bookings.get(booking_id))

        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with connected(app) as client:
        yield client


async def test_violated_exclusion_returns_409(client: AsyncClient) -> None:
    assert (await client.post("/bookings", json={"hours": [9, 12]})).status_code == 200
    assert (await client.post("/bookings", json={"hours": [12, 13]})).status_code == 200
    response = await client.post("/bookings", json={"hours": [11, 13]})
    assert (response.status_code, response.json()["detail"]) == (409, "Another Booking conflicts with this hours.")


async def test_unique_constraint_that_fails_at_the_commit_returns_409(client: AsyncClient) -> None:
    assert (await client.post("/bookings", json={"number": 1})).status_code == 200
    response = await client.post("/bookings", json={"number": 1})
    assert (response.status_code, response.json()["detail"]) == (409, "Another Booking has the same number.")


async def test_row_with_restricted_references_cannot_be_deleted(client: AsyncClient) -> None:
    booking = (await client.post("/bookings", json={})).json()
    assert (await client.post("/bookings", json={"parent_id": booking})).status_code == 200
    response = await client.delete(f"/bookings/{booking}")
    assert response.status_code == 409
    assert response.json()["detail"] == "This Booking cannot be deleted while another Booking refers to it."


@pytest.mark.parametrize(
    "values",
    [{"title": "longer"}, {"title": "\0"}, {"title": "\ud800"}, {"seats": 2**31}, {"seats": "many"}, {"price": 100}],
    ids=str,
)
async def test_refused_value_returns_422_and_is_logged(
    client: AsyncClient, log_lines: list[EventDict], values: dict[str, Any]
) -> None:
    response = await client.post("/bookings", content=json.dumps(values), headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert response.json()["detail"] == "The database cannot store or compare one of the values."
    assert [line["event"] for line in log_lines if line["log_level"] == "warning"] == ["invalid_value"]


async def test_second_of_two_concurrent_changes_returns_409(app: FastAPI, client: AsyncClient) -> None:
    everybody_read = asyncio.Barrier(2)

    @app.post("/bookings/{booking_id}")
    async def change(booking_id: UUID, session: SessionDep) -> None:
        bookings = SQLAlchemyRepository(session, Booking)
        booking = await bookings.get(booking_id)
        await everybody_read.wait()
        booking.seats += 1
        await bookings.save(booking)

    booking = (await client.post("/bookings", json={})).json()
    responses = await asyncio.gather(*(client.post(f"/bookings/{booking}") for _ in range(2)))
    assert sorted(response.status_code for response in responses) == [200, 409]
