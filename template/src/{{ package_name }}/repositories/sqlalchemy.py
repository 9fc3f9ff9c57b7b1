"""A repository in the database."""

from collections.abc import Sequence
from typing import Generic
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ..errors import ConflictError, NotFoundError
from .base import ModelT, Selection


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

    async def find(self, entity_id: UUID) -> ModelT | None:
        return await self._session.get(self.model, entity_id)

    async def get(self, entity_id: UUID, *, lock: bool = False) -> ModelT:
        entity = await self._session.get(self.model, entity_id, with_for_update=lock)
        if entity is None:
            raise NotFoundError(f"There is no {self.model.__tablename__} {entity_id}.")
        return entity

    async def list(self, selection: Selection) -> Sequence[ModelT]:
        columns = [getattr(self.model, name) for name in dict.fromkeys((selection.sort, "id"))]
        query = select(self.model).filter_by(**selection.filters).limit(selection.limit)
        query = query.order_by(*(column.desc() if selection.descending else column for column in columns))
        if selection.after is not None:
            # The pages before are not read again, as they would be with OFFSET.
            here, last = tuple_(*columns), selection.after[-len(columns) :]
            query = query.where(here < last if selection.descending else here > last)
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
