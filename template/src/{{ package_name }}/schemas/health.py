"""Schemas of the health endpoints."""

from typing import Literal

from pydantic import BaseModel, Field


class PoolStatus(BaseModel):
    """Numbers of connections of this process."""

    in_use: int = Field(description="Connections that requests are using", examples=[2])
    idle: int = Field(description="Open connections that no request is using", examples=[3])
    overflow: int = Field(description="Open connections above `DATABASE_POOL_SIZE`", examples=[0])
    limit: int = Field(description="Connections that the process may open", examples=[15])
    waiting: int = Field(description="Requests that wait for a connection", examples=[0])


class HealthReport(BaseModel):
    """Result of a health check. `unavailable` means that one of the checks fails."""

    status: Literal["ok", "unavailable"] = Field(description="Result of all checks", examples=["ok"])
    checks: dict[str, Literal["ok", "failing"]] = Field(
        default={}, description="Result of each check", examples=[{"database": "ok"}]
    )


class DatabaseReport(HealthReport):
    """Result of the database check, with the connection pool."""

    pool: PoolStatus = Field(description="Connections of the pool")
