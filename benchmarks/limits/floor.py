"""The limit of a service on these libraries: one module with the same routes, and nothing that production needs.

It has no middleware, log, limits, health of the database, ETags, cursors, cache, or answers for errors.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import structlog
import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from pydantic_settings import BaseSettings
from sqlalchemy import MetaData, func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7


class Settings(BaseSettings):
    database_url: str
    port: int


class Base(DeclarativeBase):
    metadata = MetaData(schema="my_service")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    description: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ItemCreate(BaseModel):
    name: str
    description: str | None = None


class ItemRead(ItemCreate):
    model_config = ConfigDict(from_attributes=True)
    id: UUID
    created_at: datetime
    updated_at: datetime


class Report(BaseModel):
    status: str


engine = create_async_engine(Settings().database_url, pool_size=15)
reading = engine.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.connect():
        structlog.get_logger().info("started")
    yield
    await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
        await session.commit()


async def get_reading_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(reading) as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
ReadingSessionDep = Annotated[AsyncSession, Depends(get_reading_session, scope="function")]
app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> Report:
    return Report(status="ok")


@app.get("/api/v1/items/{item_id}", response_model=ItemRead)
async def read_item(item_id: UUID, session: ReadingSessionDep) -> Any:
    return await session.get_one(Item, item_id)


@app.get("/api/v1/items", response_model=list[ItemRead])
async def list_items(session: ReadingSessionDep, limit: int = 50) -> Sequence[Any]:
    return (await session.scalars(select(Item).order_by(Item.id).limit(limit))).all()


@app.post("/api/v1/items", status_code=201, response_model=ItemRead)
async def create_item(data: ItemCreate, session: SessionDep) -> Any:
    item = Item(**data.model_dump())
    session.add(item)
    await session.flush()
    return item


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False)
