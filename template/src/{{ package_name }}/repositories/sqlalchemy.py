"""Repository with SQLAlchemy."""

import re
from collections.abc import Sequence
from typing import Generic
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ..errors import ConflictError, NotFoundError
from .base import ModelT, PageRequest

DUPLICATE = re.compile(r"Key \(([\w, ]+)\)=\(.*\) already exists|UNIQUE constraint failed: ([\w., ]+)", re.DOTALL)
"""Pattern of the columns of a violated unique constraint, in the error messages of database servers."""


class SQLAlchemyRepository(Generic[ModelT]):
    """Subclass it with the model: `class Orders(SQLAlchemyRepository[Order]): model = Order`.

    It flushes but never commits, which the session's owner does.
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
            raise NotFoundError(f"{self.model.__name__} {entity_id} does not exist.")
        return entity

    async def list(self, page: PageRequest) -> Sequence[ModelT]:
        columns = [getattr(self.model, name) for name in dict.fromkeys((page.sort, "id"))]
        query = select(self.model).filter_by(**page.filters).limit(page.limit)
        query = query.order_by(*(column.desc() if page.descending else column for column in columns))
        if page.after is not None:
            # Does not read the previous pages, as OFFSET would.
            here, last = tuple_(*columns), page.after[-len(columns) :]
            query = query.where(here < last if page.descending else here > last)
        return (await self._session.scalars(query)).all()

    async def save(self, entity: ModelT) -> ModelT:
        try:
            await self._session.flush()
        except IntegrityError as error:
            raise ConflictError(self._describe_conflict(error)) from error
        return entity

    async def delete(self, entity: ModelT) -> None:
        await self._session.delete(entity)
        await self._session.flush()

    async def count(self) -> int:
        return await self._session.scalar(select(func.count()).select_from(self.model)) or 0

    def _describe_conflict(self, error: IntegrityError) -> str:
        found = DUPLICATE.search(str(getattr(error.orig, "detail", None) or error.orig))
        if found is None:
            return f"This {self.model.__name__} conflicts with other data: it violates a constraint of the database."
        columns = [column.rpartition(".")[2] for column in (found[1] or found[2]).split(", ")]
        return f"Another {self.model.__name__} has the same {' and '.join(columns)}."
