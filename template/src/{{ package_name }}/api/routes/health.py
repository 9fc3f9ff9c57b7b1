"""Health endpoints for orchestrators and load balancers."""

from fastapi import APIRouter, Response

from ...health import HEALTH_PREFIX
from ...schemas.health import DatabaseReport, HealthReport
from ..dependencies import DatabaseDep, HealthDep

router = APIRouter(prefix=HEALTH_PREFIX, tags=["health"])


@router.get("")
async def check_liveness() -> HealthReport:
    """Answer if the process runs. Restart the process if this fails."""
    return HealthReport(status="ok")


@router.get("/db", responses={503: {"model": DatabaseReport, "description": "Unavailable"}})
async def check_database(health: HealthDep, database: DatabaseDep, response: Response) -> DatabaseReport:
    """Check that the database answers, and report the connection pool."""
    report = _report(response, database=health.checks()["database"])
    return DatabaseReport(**report.model_dump(), pool=database.pool_status())


@router.get("/ready", responses={503: {"model": HealthReport, "description": "Unavailable"}})
async def check_readiness(health: HealthDep, response: Response) -> HealthReport:
    """Check that the process can serve requests: the database answers and is migrated, the process is not stopping."""
    return _report(response, **health.checks())


def _report(response: Response, **checks: bool) -> HealthReport:
    healthy = all(checks.values())
    response.status_code = 200 if healthy else 503
    response.headers["Cache-Control"] = "no-store"
    return HealthReport(
        status="ok" if healthy else "unavailable",
        checks={name: "ok" if passed else "failing" for name, passed in checks.items()},
    )
