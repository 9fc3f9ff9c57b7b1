"""Dependencies of routes.

All are `async`, because FastAPI calls other functions in a thread.
"""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from ..config import Settings
from ..context import RequestContext
from ..database import Database
from ..health import Health
from ..utils.cache import TTLCache

SAFE_METHODS = frozenset({"GET", "HEAD"})
BEARER = HTTPBearer(auto_error=False, description="Send the access token as `Authorization: Bearer <token>`")


async def get_app_settings(request: Request) -> Settings:
    """Return the settings of this application."""
    return cast("Settings", request.app.state.settings)


async def get_database(request: Request) -> Database:
    return cast("Database", request.app.state.database)


async def get_health(request: Request) -> Health:
    return cast("Health", request.app.state.health)


async def get_cache(request: Request) -> TTLCache:
    return cast("TTLCache", request.app.state.cache)


async def get_current_context(request: Request) -> RequestContext:
    """Return the id, method, path and client of the request."""
    return cast("RequestContext", request.state.context)


async def get_db_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield the session of the request: committed after the handler returns, rolled back if it raises.

    Sessions of GET and HEAD are read-only.

    Raises:
        DatabaseUnavailableError: no connection could be opened, or none became free in time.
    """
    database = await get_database(request)
    async with database.read_only_session() if request.method in SAFE_METHODS else database.session() as session:
        yield session


async def get_bearer_token(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> str:
    """Return the bearer token of the request. It is not verified yet."""
    if credentials is None:
        raise HTTPException(401, "The header Authorization has no bearer token.", {"WWW-Authenticate": "Bearer"})
    return credentials.credentials


SettingsDep = Annotated[Settings, Depends(get_app_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
HealthDep = Annotated[Health, Depends(get_health)]
CacheDep = Annotated[TTLCache, Depends(get_cache)]
ContextDep = Annotated[RequestContext, Depends(get_current_context)]
# Function scope commits before the response is sent, so a failing commit is never answered with 201.
SessionDep = Annotated[AsyncSession, Depends(get_db_session, scope="function")]
BearerTokenDep = Annotated[str, Depends(get_bearer_token)]
