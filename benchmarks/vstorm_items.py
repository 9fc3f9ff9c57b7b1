"""A resource for fastapi-fullstack, with the columns of our example and the code style of its own resources.

It does less than its own resources, so that the work is equal. There is no authentication. A list page does not count
all rows. A create does not look for the name first.
"""

FILES = {
    "app/db/models/item.py": """
import uuid

from sqlalchemy import String
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, TimestampMixin


class Item(Base, TimestampMixin):
    __tablename__ = "items"

    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(String(100), nullable=False, unique=True)
    description: Mapped[str | None] = mapped_column(String(1000), nullable=True)
""",
    "app/schemas/item.py": """
from uuid import UUID

from pydantic import Field

from app.schemas.base import BaseSchema, TimestampSchema


class ItemBase(BaseSchema):
    name: str = Field(..., min_length=1, max_length=100)
    description: str | None = Field(default=None, max_length=1000)


class ItemCreate(ItemBase):
    pass


class ItemRead(ItemBase, TimestampSchema):
    id: UUID


class ItemList(BaseSchema):
    items: list[ItemRead]
""",
    "app/repositories/item.py": """
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.item import Item


async def get_item_by_id(db: AsyncSession, item_id: UUID) -> Item | None:
    return await db.get(Item, item_id)


async def get_items(db: AsyncSession, *, skip: int = 0, limit: int = 50) -> list[Item]:
    result = await db.execute(select(Item).order_by(Item.id).offset(skip).limit(limit))
    return list(result.scalars().all())


async def create_item(db: AsyncSession, *, name: str, description: str | None) -> Item:
    item = Item(name=name, description=description)
    db.add(item)
    await db.flush()
    await db.refresh(item)
    return item
""",
    "app/services/item.py": """
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.exceptions import AlreadyExistsError, NotFoundError
from app.db.models.item import Item
from app.repositories import item as item_repo
from app.schemas.item import ItemCreate


class ItemService:
    def __init__(self, db: AsyncSession):
        self.db = db

    async def get_item(self, item_id: UUID) -> Item:
        item = await item_repo.get_item_by_id(self.db, item_id)
        if not item:
            raise NotFoundError(message="Item not found", details={"item_id": str(item_id)})
        return item

    async def list_items(self, *, skip: int = 0, limit: int = 50) -> list[Item]:
        return await item_repo.get_items(self.db, skip=skip, limit=limit)

    async def create_item(self, data: ItemCreate) -> Item:
        try:
            return await item_repo.create_item(self.db, name=data.name, description=data.description)
        except IntegrityError as exc:
            raise AlreadyExistsError(
                message="Item with this name already exists", details={"name": data.name}
            ) from exc
""",
    "app/api/deps.py": """
from app.services.item import ItemService


def get_item_service(db: DBSession) -> ItemService:
    return ItemService(db)


ItemSvc = Annotated[ItemService, Depends(get_item_service)]
""",
    "app/api/routes/v1/items.py": """
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Query, status

from app.api.deps import ItemSvc
from app.schemas.item import ItemCreate, ItemList, ItemRead

router = APIRouter()


@router.get("", response_model=ItemList)
async def list_items(
    item_service: ItemSvc,
    skip: int = Query(0, ge=0),
    limit: int = Query(50, ge=1, le=100),
) -> Any:
    items = await item_service.list_items(skip=skip, limit=limit)
    return ItemList(items=items)


@router.post("", response_model=ItemRead, status_code=status.HTTP_201_CREATED)
async def create_item(item_service: ItemSvc, data: ItemCreate) -> Any:
    return await item_service.create_item(data)


@router.get("/{item_id}", response_model=ItemRead)
async def get_item(item_id: UUID, item_service: ItemSvc) -> Any:
    return await item_service.get_item(item_id)
""",
    "app/api/routes/v1/__init__.py": """
from app.api.routes.v1 import items

v1_router.include_router(items.router, prefix="/items", tags=["items"])
""",
}
"""Text that is added to the files of a render, by their names."""
