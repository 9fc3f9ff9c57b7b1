"""Health endpoints, for orchestrators and load balancers."""

from fastapi import APIRouter, Response

from ..health import PREFIX
from ..schemas.health import DatabaseReport, HealthReport, PoolReport
from .dependencies import DatabaseDep, HealthDep

router = APIRouter(prefix=PREFIX, tags=["health"])


@router.get("")
async def process() -> HealthReport:
    """Whether the process answers: restart it when it does not."""
    return HealthReport(status="ok")


@router.get("/db", responses={503: {"model": DatabaseReport, "description": "Unavailable"}})
async def database(health: HealthDep, database: DatabaseDep, response: Response) -> DatabaseReport:
    """Whether the database answers, and how many connections to it are in use."""
    report = _report(response, database=await health.database_answers())
    return DatabaseReport(**report.model_dump(), pool=PoolReport.model_validate(database.pool.status()))


@router.get("/ready", responses={503: {"model": HealthReport, "description": "Unavailable"}})
async def ready(health: HealthDep, response: Response) -> HealthReport:
    """Whether to send requests here: the database answers, is migrated, and the process is not stopping."""
    return _report(response, **await health.checks(), accepting=not health.draining)


def _report(response: Response, **checks: bool) -> HealthReport:
    healthy = all(checks.values())
    response.status_code = 200 if healthy else 503
    response.headers["Cache-Control"] = "no-store"
    return HealthReport(
        status="ok" if healthy else "unavailable",
        checks={name: "ok" if passed else "failing" for name, passed in checks.items()},
    )
