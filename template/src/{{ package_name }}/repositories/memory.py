"""Repository in memory, for tests of services."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from operator import gt, lt
from typing import Any, Generic
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Column, Index, TypeDecorator, UniqueConstraint, inspect
from sqlalchemy.exc import IntegrityError

from ..errors import ConflictError, NotFoundError
from ..models import Versioned
from .base import ModelT, PageRequest, Position, check_version


class InMemoryRepository(Generic[ModelT]):
    """Behaves like the SQLAlchemy one, with defaults, NOT NULL, unique columns and versions.

    It does not check foreign keys, CHECK constraints, and unique indexes with expressions or conditions.
    """

    model: type[ModelT]

    def __init__(self, model: type[ModelT] | None = None) -> None:
        if model is not None:
            self.model = model
        self._columns: dict[str, Column[Any]] = dict(inspect(self.model).columns)
        self._unique = _unique_attributes(self.model.__table__, self._columns)
        self._rows: dict[UUID, dict[str, Any]] = {}

    async def add(self, entity: ModelT) -> ModelT:
        for name, column in self._columns.items():
            if getattr(entity, name) is None:
                setattr(entity, name, _default(column))
        if entity.id in self._rows:
            raise ConflictError(f"Another {self.model.__name__} has the same id.")
        self._store(self._row(entity))
        return entity

    async def find(self, entity_id: UUID) -> ModelT | None:
        row = self._rows.get(entity_id)
        return None if row is None else self._entity(row)

    async def get(self, entity_id: UUID, *, lock: bool = False, versions: Collection[str] | None = None) -> ModelT:
        entity = await self.find(entity_id)
        if entity is None:
            raise NotFoundError(f"{self.model.__name__} {entity_id} does not exist.")
        check_version(entity, versions)
        return entity

    async def list(self, page: PageRequest) -> Sequence[ModelT]:
        def position(row: dict[str, Any]) -> Position:
            return row[page.sort], row["id"]

        is_after = lt if page.descending else gt
        rows = [
            row
            for row in sorted(self._rows.values(), key=position, reverse=page.descending)
            if all(row[name] == value for name, value in page.filters.items())
            if page.after is None or is_after(position(row), page.after)
        ]
        return [self._entity(row) for row in rows[: page.limit]]

    async def save(self, entity: ModelT) -> ModelT:
        row = self._row(entity)
        if row == self._rows.get(entity.id):
            return entity
        self._check_unchanged(row)
        generated: dict[str, Any] = {"updated_at": datetime.now(UTC)}
        if isinstance(entity, Versioned):
            generated["version"] = entity.version + 1
        self._store({**row, **generated})
        for name, value in generated.items():
            setattr(entity, name, value)
        return entity

    async def delete(self, entity: ModelT) -> None:
        self._check_unchanged(self._row(entity))
        del self._rows[entity.id]

    async def count(self) -> int:
        return len(self._rows)

    def after_commit(self, action: Callable[[], object]) -> None:
        action()

    # Entities and rows share no dictionary or list. A change of an entity is stored when it is saved.
    def _entity(self, row: dict[str, Any]) -> ModelT:
        return self.model(**deepcopy(row))

    def _row(self, entity: ModelT) -> dict[str, Any]:
        return {name: deepcopy(getattr(entity, name)) for name in self._columns}

    def _check_unchanged(self, row: dict[str, Any]) -> None:
        stored = self._rows.get(row["id"])
        if stored is None or (issubclass(self.model, Versioned) and stored["version"] != row["version"]):
            raise ConflictError(f"Another request has changed this {self.model.__name__}. Read it again.")

    def _store(self, row: dict[str, Any]) -> None:
        for name, column in self._columns.items():
            if row[name] is None and not column.nullable:
                raise IntegrityError(f"NOT NULL: {column}", None, ValueError(name))
        for names in self._unique:
            values = [row[name] for name in names]
            for other in self._rows.values():
                if other["id"] != row["id"] and None not in values and values == [other[name] for name in names]:
                    raise ConflictError(f"Another {self.model.__name__} has the same {' and '.join(names)}.")
        self._rows[row["id"]] = row


def _unique_attributes(table: Any, columns: dict[str, Column[Any]]) -> list[list[str]]:
    """Return the attributes of each unique constraint or index."""
    names = {column: name for name, column in columns.items()}
    indexes = (
        index
        for index in table.indexes
        if index.unique and all(isinstance(column, Column) for column in index.expressions)
        if not any(option.endswith("_where") for option in index.dialect_kwargs)
    )
    constraints = (constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint))
    unique: list[UniqueConstraint | Index] = [*constraints, *indexes]
    return [[names[column] for column in constraint.columns] for constraint in unique]


def _default(column: Column[Any]) -> Any:
    """Return the default of a column, or None if it has none."""
    if column.default is not None:
        value: Any = column.default.arg  # type: ignore[attr-defined]
        return value(None) if callable(value) else deepcopy(value)
    default = getattr(column.server_default, "arg", None)
    if default is None:
        return None
    sql = re.sub(r"^'(.*)'$", r"\1", str(default).partition("::")[0])
    stored_as = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    kind: Any = stored_as.python_type
    if kind is datetime and sql.lower() in ("current_timestamp", "now()"):
        return datetime.now(UTC)
    try:
        return json.loads(sql) if kind is object else TypeAdapter(kind).validate_strings(sql)
    except ValueError as error:
        raise NotImplementedError(f"{column}: the repository in memory cannot evaluate the default {sql}") from error
