"""Schemas of the health endpoints."""

from typing import Literal

from pydantic import BaseModel


class PoolStatus(BaseModel):
    """Numbers of connections of this process."""

    in_use: int
    idle: int
    overflow: int


class HealthReport(BaseModel):
    status: Literal["ok", "unavailable"]
    checks: dict[str, Literal["ok", "failing"]] = {}


class DatabaseReport(HealthReport):
    pool: PoolStatus
