"""ETags of a versioned model whose values the database normalizes, with real commits."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Response
from httpx2 import AsyncClient
from pydantic import AwareDatetime
from real_pool import connected, opened, running
from sqlalchemy import MetaData, Update, update
from sqlalchemy.orm import Mapped, mapped_column

from my_service.api.conditional import ExpectedVersionsDep, set_etag
from my_service.api.dependencies import SessionDep
from my_service.config import Settings
from my_service.models import Base, Versioned
from my_service.models.types import PortableNumeric
from my_service.repositories import SQLAlchemyRepository
from my_service.schemas.base import RequestModel


class Offer(Versioned, Base):
    metadata = MetaData(schema=Base.metadata.schema, naming_convention=Base.metadata.naming_convention)

    price: Mapped[Decimal] = mapped_column(PortableNumeric(10, 2))
    ratio: Mapped[float]
    plan: Mapped[dict[str, Any]]
    valid_until: Mapped[datetime]


class OfferWrite(RequestModel):
    price: Decimal
    ratio: float
    plan: dict[str, Any]
    valid_until: AwareDatetime


SENT = {"price": "1.5", "ratio": 1, "plan": {"b": 1, "a": [1.0, "ü"]}, "valid_until": "2026-01-01T12:00:00+02:00"}
NORMALIZED = {"price": "1.50", "ratio": 1.0, "plan": {"a": [1, "ü"], "b": 1}, "valid_until": "2026-01-01T10:00:00Z"}


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[AsyncClient]:
    async with opened(settings, Offer.metadata), running(settings) as app, connected(app) as client:
        add_routes(app)
        yield client


def add_routes(app: FastAPI) -> None:
    @app.post("/offers")
    async def create(data: OfferWrite, session: SessionDep, response: Response) -> UUID:
        offer = await SQLAlchemyRepository(session, Offer).add(Offer(**data.model_dump()))
        set_etag(response, offer)
        return offer.id

    @app.get("/offers/{offer_id}")
    async def read(offer_id: UUID, session: SessionDep, response: Response) -> None:
        set_etag(response, await SQLAlchemyRepository(session, Offer).get(offer_id))

    @app.put("/offers/{offer_id}")
    async def replace(
        offer_id: UUID, data: OfferWrite, session: SessionDep, versions: ExpectedVersionsDep, response: Response
    ) -> None:
        offers = SQLAlchemyRepository(session, Offer)
        offer = await offers.get(offer_id, lock=True, versions=versions)
        for name, value in data.model_dump().items():
            setattr(offer, name, value)
        set_etag(response, await offers.save(offer))

    @app.post("/expire/{how}")
    async def expire(how: str, session: SessionDep) -> None:
        statements: dict[str, Update] = {"orm": update(Offer), "core": update(Offer.metadata.tables[f"{PREFIX}offer"])}
        await session.execute(statements[how].values(price=0))


PREFIX = f"{Base.metadata.schema}." if Base.metadata.schema else ""


async def test_values_that_the_database_normalizes_keep_the_etag(client: AsyncClient) -> None:
    created = await client.post("/offers", json=SENT)
    path, etag = f"/offers/{created.json()}", created.headers["ETag"]
    for data in (SENT, NORMALIZED, SENT):
        assert (await client.get(path)).headers["ETag"] == etag
        replaced = await client.put(path, json=data, headers={"If-Match": etag})
        assert (replaced.status_code, replaced.headers["ETag"]) == (200, etag)


async def test_each_changed_value_changes_the_etag(client: AsyncClient) -> None:
    created = await client.post("/offers", json=SENT)
    path, etags = f"/offers/{created.json()}", [created.headers["ETag"]]
    changes: list[dict[str, Any]] = [{"price": "1.51"}, {"plan": {}}, {"valid_until": "2026-01-01T12:00:01+02:00"}]
    for change in changes:
        replaced = await client.put(path, json=SENT | change, headers={"If-Match": etags[-1]})
        etags.append(replaced.headers["ETag"])
        assert (await client.get(path)).headers["ETag"] == etags[-1]
    assert len(set(etags)) == 4


@pytest.mark.parametrize("how", ["orm", "core"])
async def test_update_without_entities_changes_the_etag(client: AsyncClient, how: str) -> None:
    created = await client.post("/offers", json=SENT)
    path, etag = f"/offers/{created.json()}", created.headers["ETag"]
    assert (await client.post(f"/expire/{how}")).status_code == 200
    assert (await client.get(path)).headers["ETag"] not in (None, etag)
    assert (await client.put(path, json=SENT, headers={"If-Match": etag})).status_code == 412
