"""Problem details for HTTP APIs (RFC 9457)."""

from pydantic import BaseModel, Field


class FieldError(BaseModel):
    """A part of the request that is not valid."""

    location: str = Field(description="Location in the request", examples=["body.name"])
    message: str = Field(description="Rule that the value breaks", examples=["Field required"])


class Problem(BaseModel):
    """Error response (RFC 9457)."""

    type: str = Field(default="about:blank", description="Always `about:blank`", examples=["about:blank"])
    title: str = Field(description="Name of the status", examples=["Not Found"])
    status: int = Field(description="HTTP status", examples=[404])
    detail: str | None = Field(default=None, description="Reason", examples=["Order 7 does not exist."])
    instance: str | None = Field(default=None, description="Path of the request", examples=["/api/v1/orders"])
    request_id: str | None = Field(default=None, description="Id of the request in the logs", examples=["3f0e9a"])
    errors: list[FieldError] | None = Field(default=None, description="Parts of the request that are not valid")
