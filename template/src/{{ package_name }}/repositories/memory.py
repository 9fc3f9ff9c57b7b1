"""Repository in memory, for tests of services."""

import json
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Generic
from uuid import UUID

from sqlalchemy import JSON, Column, False_, Index, True_, TypeDecorator, UniqueConstraint
from sqlalchemy.exc import IntegrityError

from ..errors import ConflictError, NotFoundError
from .base import ModelT, PageRequest, Position, check_version


class InMemoryRepository(Generic[ModelT]):
    """Behaves like the SQLAlchemy one, with defaults, NOT NULL and unique columns. It does not check foreign keys."""

    model: type[ModelT]

    def __init__(self, model: type[ModelT] | None = None) -> None:
        if model is not None:
            self.model = model
        self._columns: list[Any] = list(self.model.__table__.columns)
        self._rows: dict[UUID, dict[str, Any]] = {}

    async def add(self, entity: ModelT) -> ModelT:
        for column in self._columns:
            if getattr(entity, column.key) is None:
                setattr(entity, column.key, _default(column))
        return await self.save(entity)

    async def find(self, entity_id: UUID) -> ModelT | None:
        row = self._rows.get(entity_id)
        return None if row is None else self.model(**row)

    async def get(self, entity_id: UUID, *, lock: bool = False, versions: Collection[str] | None = None) -> ModelT:
        entity = await self.find(entity_id)
        if entity is None:
            raise NotFoundError(f"{self.model.__name__} {entity_id} does not exist.")
        check_version(entity, versions)
        return entity

    async def list(self, page: PageRequest) -> Sequence[ModelT]:
        def position(row: dict[str, Any]) -> Position:
            return row[page.sort], row["id"]

        def is_selected(row: dict[str, Any]) -> bool:
            if any(row[name] != value for name, value in page.filters.items()):
                return False
            if page.after is None:
                return True
            return position(row) < page.after if page.descending else position(row) > page.after

        rows = sorted(filter(is_selected, self._rows.values()), key=position, reverse=page.descending)
        return [self.model(**row) for row in rows[: page.limit]]

    async def save(self, entity: ModelT) -> ModelT:
        stored = self._rows.get(entity.id)
        if stored is not None:
            entity.updated_at = datetime.now(UTC)
            if "version" in stored:
                entity.version = stored["version"] + 1  # type: ignore[attr-defined]
        row = {column.key: getattr(entity, column.key) for column in self._columns}
        for column in self._columns:
            if row[column.key] is None and not column.nullable:
                raise IntegrityError(f"NOT NULL: {column}", None, ValueError(column.key))
        self._check_unique(row)
        self._rows[entity.id] = row
        return entity

    async def delete(self, entity: ModelT) -> None:
        del self._rows[entity.id]

    async def count(self) -> int:
        return len(self._rows)

    def after_commit(self, action: Callable[[], object]) -> None:
        action()

    def _check_unique(self, row: dict[str, Any]) -> None:
        table = self.model.__table__
        constraints = [*table.constraints, *(index for index in table.indexes if index.unique)]  # type: ignore[attr-defined]
        for constraint in constraints:
            if not isinstance(constraint, UniqueConstraint | Index):
                continue
            names = [column.key for column in constraint.columns]
            values = [row[name] for name in names]
            for other in self._rows.values():
                if other["id"] != row["id"] and None not in values and values == [other[name] for name in names]:
                    raise ConflictError(f"Another {self.model.__name__} has the same {' and '.join(names)}.")


def _default(column: Column[Any]) -> Any:
    """Return the default of a column, or None if it has none."""
    if column.default is not None:
        value: Any = column.default.arg  # type: ignore[attr-defined]
        return value(None) if callable(value) else value
    default = getattr(column.server_default, "arg", None)
    match default:
        case None:
            return None
        case True_() | False_():
            return isinstance(default, True_)
        case str():
            column_type = column.type
            if isinstance(column_type, TypeDecorator):
                column_type = column_type.impl_instance
            return json.loads(default) if isinstance(column_type, JSON) else column_type.python_type(default)
        case _:  # CURRENT_TIMESTAMP
            return datetime.now(UTC)
