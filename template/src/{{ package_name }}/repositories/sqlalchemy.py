"""A repository in the database."""

from collections.abc import Sequence
from typing import Generic
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ..errors import ConflictError, NotFoundError
from .base import ModelT


class SQLAlchemyRepository(Generic[ModelT]):
    """Subclass it with the model: `class Orders(SQLAlchemyRepository[Order]): model = Order`.

    It flushes but never commits: that is for the one who opened the session.
    """

    model: type[ModelT]

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, entity: ModelT) -> ModelT:
        self._session.add(entity)
        return await self.save(entity)

    async def get(self, entity_id: UUID) -> ModelT:
        entity = await self._session.get(self.model, entity_id)
        if entity is None:
            raise NotFoundError(f"There is no {self.model.__tablename__} {entity_id}.")
        return entity

    async def list(self, *, limit: int, after: UUID | None = None) -> Sequence[ModelT]:
        query = select(self.model).order_by(self.model.id).limit(limit)
        if after is not None:
            query = query.where(self.model.id > after)
        return (await self._session.scalars(query)).all()

    async def save(self, entity: ModelT) -> ModelT:
        try:
            await self._session.flush()
        except IntegrityError as error:
            raise ConflictError(f"This {self.model.__tablename__} contradicts one that is there.") from error
        return entity

    async def delete(self, entity: ModelT) -> None:
        await self._session.delete(entity)
        await self._session.flush()

    async def count(self) -> int:
        return await self._session.scalar(select(func.count()).select_from(self.model)) or 0
