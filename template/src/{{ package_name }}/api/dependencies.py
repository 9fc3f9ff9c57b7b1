"""What routes may ask for.

All are `async`, whether they wait or not: what is not costs each request the way to a thread and back.
"""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from ..config import Settings
from ..database import Database
from ..health import Health
from ..middleware import RequestContext
from ..utils.cache import TTLCache

SAFE_METHODS = frozenset({"GET", "HEAD"})


async def get_app_settings(request: Request) -> Settings:
    """The settings that this application was made with."""
    return cast("Settings", request.app.state.settings)


async def get_database(request: Request) -> Database:
    return cast("Database", request.app.state.database)


async def get_health(request: Request) -> Health:
    return cast("Health", request.app.state.health)


async def get_cache(request: Request) -> TTLCache:
    return cast("TTLCache", request.app.state.cache)


async def get_current_context(request: Request) -> RequestContext:
    """Which request this is."""
    return cast("RequestContext", request.state.context)


async def get_db_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session of this request: committed when its handler returned, rolled back if it raised.

    One that answers GET or HEAD, whose meaning is to change nothing, can only read.

    Raises:
        DatabaseUnavailableError: no connection was to be had.
    """
    database = await get_database(request)
    async with database.reading_session() if request.method in SAFE_METHODS else database.session() as session:
        yield session


async def get_bearer_token(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
) -> str:
    """The token that the client sent, not yet verified: what it proves is for the service to decide."""
    if credentials is None:
        raise HTTPException(401, "A bearer token is needed.", headers={"WWW-Authenticate": "Bearer"})
    return credentials.credentials


SettingsDep = Annotated[Settings, Depends(get_app_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
HealthDep = Annotated[Health, Depends(get_health)]
CacheDep = Annotated[TTLCache, Depends(get_cache)]
ContextDep = Annotated[RequestContext, Depends(get_current_context)]
# Function scope commits before the response is sent: no client sees 201 for what was not stored.
SessionDep = Annotated[AsyncSession, Depends(get_db_session, scope="function")]
BearerTokenDep = Annotated[str, Depends(get_bearer_token)]
