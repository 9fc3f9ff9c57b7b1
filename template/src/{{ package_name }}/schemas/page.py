"""Schema of a page of a list."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

EXAMPLE_CURSOR = (
    "WyJpZCIsICIwMDAwMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCAiMDAwMD"
    "AwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAxIl0"
)


class Page(BaseModel, Generic[T]):
    model_config = ConfigDict(json_schema_extra={"description": "A page of a list."})

    items: list[T] = Field(description="Entities of this page, in the order of `sort`")
    next: str | None = Field(
        description="Cursor of the next page, to pass as `after`. Null on the last page", examples=[EXAMPLE_CURSOR]
    )
