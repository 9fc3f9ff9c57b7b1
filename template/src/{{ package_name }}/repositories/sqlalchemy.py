"""Repository with SQLAlchemy."""

from collections.abc import Callable, Collection, Sequence
from typing import Generic
from uuid import UUID

from sqlalchemy import func, inspect, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from ..database import AFTER_COMMIT
from ..errors import ConflictError, NotFoundError
from .base import ModelT, PageRequest, check_version
from .constraints import constraint_error

EAGER = ("joined", "selectin")
"""The values of `lazy` of relationships that every query loads."""


class SQLAlchemyRepository(Generic[ModelT]):
    """Repository of a model: `SQLAlchemyRepository(session, Order)`.

    It flushes but never commits, which the session's owner does. Subclasses add queries, and set `model`.
    """

    model: type[ModelT]

    def __init__(self, session: AsyncSession, model: type[ModelT] | None = None) -> None:
        self._session = session
        if model is not None:
            self.model = model

    async def add(self, entity: ModelT) -> ModelT:
        self._session.add(entity)
        return await self.save(entity)

    async def find(self, entity_id: UUID) -> ModelT | None:
        return await self._session.get(self.model, entity_id)

    async def get(self, entity_id: UUID, *, lock: bool = False, versions: Collection[str] | None = None) -> ModelT:
        entity = await self._session.get(self.model, entity_id, with_for_update=lock)
        if entity is None:
            raise NotFoundError(f"{self.model.__name__} {entity_id} does not exist.")
        check_version(entity, versions)
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
        await self._flush()
        # A new entity has not loaded its relationships. After a change of a foreign key, the former entity is loaded.
        names = [relation.key for relation in inspect(self.model).relationships if relation.lazy in EAGER]
        if names:
            await self._session.refresh(entity, names)
        return entity

    async def delete(self, entity: ModelT) -> None:
        await self._session.delete(entity)
        await self._flush()

    async def count(self) -> int:
        return await self._session.scalar(select(func.count()).select_from(self.model)) or 0

    def after_commit(self, action: Callable[[], object]) -> None:
        self._session.info.setdefault(AFTER_COMMIT, []).append(action)

    async def _flush(self) -> None:
        try:
            await self._session.flush()
        except IntegrityError as error:
            if violation := constraint_error(error):
                raise violation from error
            raise
        except StaleDataError as error:
            raise ConflictError(f"Another request has changed this {self.model.__name__}. Read it again.") from error
