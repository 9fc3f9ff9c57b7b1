"""A resource for the peer, with the columns of our example and the code style of the peer's example.

The peer's example has two columns, returns lists without an order, and responds to a create with `null`.
"""

TABLE = """
CREATE TABLE {} (
    id uuid PRIMARY KEY,
    name varchar(100) NOT NULL UNIQUE,
    description varchar(1000),
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP
)
"""

FILES = {
    "peer_service/db/models/item_model.py": """
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import DateTime, String, func
from sqlalchemy.orm import Mapped, mapped_column

from peer_service.db.base import Base


class ItemModel(Base):
    __tablename__ = "item_model"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(length=100), unique=True)
    description: Mapped[str | None] = mapped_column(String(length=1000))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
""",
    "peer_service/db/dao/item_dao.py": """
from typing import List, Optional
from uuid import UUID

from fastapi import Depends
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from peer_service.db.dependencies import get_db_session
from peer_service.db.models.item_model import ItemModel


class ItemDAO:
    def __init__(self, session: AsyncSession = Depends(get_db_session)) -> None:
        self.session = session

    async def create_item(self, name: str, description: Optional[str]) -> ItemModel:
        item = ItemModel(name=name, description=description)
        self.session.add(item)
        await self.session.flush()
        return item

    async def get_item(self, item_id: UUID) -> Optional[ItemModel]:
        return await self.session.get(ItemModel, item_id)

    async def get_all_items(self, limit: int, offset: int) -> List[ItemModel]:
        raw_items = await self.session.execute(
            select(ItemModel).order_by(ItemModel.id).limit(limit).offset(offset),
        )
        return list(raw_items.scalars().fetchall())
""",
    "peer_service/web/api/items/__init__.py": """
from peer_service.web.api.items.views import router

__all__ = ["router"]
""",
    "peer_service/web/api/items/schema.py": """
from datetime import datetime
from typing import Optional
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class ItemModelDTO(BaseModel):
    id: UUID
    name: str
    description: Optional[str]
    created_at: datetime
    updated_at: datetime

    model_config = ConfigDict(from_attributes=True)


class ItemModelInputDTO(BaseModel):
    name: str = Field(min_length=1, max_length=100)
    description: Optional[str] = Field(default=None, max_length=1000)
""",
    "peer_service/web/api/items/views.py": """
from typing import List
from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.param_functions import Depends

from peer_service.db.dao.item_dao import ItemDAO
from peer_service.db.models.item_model import ItemModel
from peer_service.web.api.items.schema import ItemModelDTO, ItemModelInputDTO

router = APIRouter()


@router.get("/", response_model=List[ItemModelDTO])
async def get_items(limit: int = 10, offset: int = 0, item_dao: ItemDAO = Depends()) -> List[ItemModel]:
    return await item_dao.get_all_items(limit=limit, offset=offset)


@router.get("/{item_id}", response_model=ItemModelDTO)
async def get_item(item_id: UUID, item_dao: ItemDAO = Depends()) -> ItemModel:
    item = await item_dao.get_item(item_id)
    if item is None:
        raise HTTPException(status_code=404)
    return item


@router.post("/", status_code=201, response_model=ItemModelDTO)
async def create_item(new_item: ItemModelInputDTO, item_dao: ItemDAO = Depends()) -> ItemModel:
    return await item_dao.create_item(name=new_item.name, description=new_item.description)
""",
    "peer_service/web/api/router.py": """
from peer_service.web.api import items

api_router.include_router(items.router, prefix="/items", tags=["items"])
""",
}
"""Text that is added to the files of a render, by their names."""
