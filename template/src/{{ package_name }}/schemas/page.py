"""Schemas of lists: the query parameters and a page."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from .base import RequestModel

T = TypeVar("T")

EXAMPLE_CURSOR = (
    "WyJpZCIsICIwMDAwMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCAiMDAwMD"
    "AwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAxIl0"
)

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


class PageQuery(RequestModel):
    """Query parameters of lists. Subclasses add filters, and declare the values of `sort`."""

    limit: int = Field(default=DEFAULT_PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE, description="Page size", examples=[50])
    after: str | SkipJsonSchema[None] = Field(
        default=None, description="The `next` of the previous page", examples=[EXAMPLE_CURSOR]
    )
    sort: str


class Page(BaseModel, Generic[T]):
    model_config = ConfigDict(json_schema_extra={"description": "A page of a list."})

    items: list[T] = Field(description="Entities of this page, in the order of `sort`")
    next: str | None = Field(
        description="Cursor of the next page, to pass as `after`. Null on the last page", examples=[EXAMPLE_CURSOR]
    )
