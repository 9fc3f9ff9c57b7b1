"""What the health endpoints answer."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class PoolReport(BaseModel):
    """Connections of the process that answers."""

    model_config = ConfigDict(from_attributes=True)

    in_use: int
    idle: int
    overflow: int


class HealthReport(BaseModel):
    status: Literal["ok", "unavailable"]
    checks: dict[str, Literal["ok", "failing"]] = {}


class DatabaseReport(HealthReport):
    pool: PoolReport
