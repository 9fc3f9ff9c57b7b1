"""Problem details for HTTP APIs (RFC 9457)."""

from pydantic import BaseModel, Field


class FieldError(BaseModel):
    location: str = Field(description="Location in the request, for example `body.name`", examples=["body.name"])
    message: str


class Problem(BaseModel):
    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    instance: str | None = Field(default=None, description="Path of the request")
    request_id: str | None = Field(default=None, description="Include it when you report the problem")
    errors: list[FieldError] | None = None
