"""What services ask of a repository."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from uuid import UUID

from ..models import Base

ModelT = TypeVar("ModelT", bound=Base)


Position = tuple[Any, UUID]
"""Where an entity stands in an order: the value that it is sorted by, and its key."""


@dataclass(frozen=True)
class Selection:
    """Which entities to list, in what order.

    Args:
        limit: how many at most.
        sort: the attribute to sort by, one that is never None; entities of equal value follow in the order of
            their keys, which is that of their creation.
        after: the position of the last one before.
        filters: attributes and what they have to equal.
    """

    limit: int
    sort: str = "id"
    descending: bool = False
    after: Position | None = None
    filters: Mapping[str, object] = field(default_factory=dict)


class Repository(Protocol[ModelT]):
    async def add(self, entity: ModelT) -> ModelT:
        """Keep a new entity, its generated columns filled in.

        Raises:
            ConflictError: it breaks a constraint, such as a name that must be unique.
        """

    async def find(self, entity_id: UUID) -> ModelT | None: ...

    async def get(self, entity_id: UUID, *, lock: bool = False) -> ModelT:
        """The entity of that key.

        Args:
            lock: keep others from changing it until the end of the transaction.

        Raises:
            NotFoundError: there is none.
        """

    async def list(self, selection: Selection) -> Sequence[ModelT]: ...

    async def save(self, entity: ModelT) -> ModelT:
        """Keep the changes made to an entity.

        Raises:
            ConflictError: they break a constraint.
        """

    async def delete(self, entity: ModelT) -> None: ...

    async def count(self) -> int: ...
