"""Dependencies of routes. All are `async`, because FastAPI calls other functions in a thread."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from ..config import Settings
from ..context import RequestContext
from ..database import Database
from ..health import Health
from ..repositories import ModelT, Repository, SQLAlchemyRepository
from ..utils.cache import TTLCache

SAFE_METHODS = frozenset({"GET", "HEAD"})
BEARER = HTTPBearer(auto_error=False, description="Send the access token as `Authorization: Bearer <token>`")


async def get_app_settings(connection: HTTPConnection) -> Settings:
    """Return the settings of this application."""
    return cast("Settings", connection.app.state.settings)


async def get_database(connection: HTTPConnection) -> Database:
    return cast("Database", connection.app.state.database)


async def get_health(connection: HTTPConnection) -> Health:
    return cast("Health", connection.app.state.health)


async def get_cache(connection: HTTPConnection) -> TTLCache:
    return cast("TTLCache", connection.app.state.cache)


async def get_current_context(request: Request) -> RequestContext:
    """Return the id, method, path and client of the request."""
    return cast("RequestContext", request.state.context)


async def get_db_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """Yield the session of the request: committed after the handler returns, rolled back if it raises.

    Sessions of GET and HEAD are read-only. The session of a WebSocket holds its connection until the WebSocket closes.

    Raises:
        DatabaseUnavailableError: no connection could be opened, or none became free in time.
    """
    database = await get_database(connection)
    safe = connection.scope.get("method") in SAFE_METHODS
    async with database.read_only_session() if safe else database.session() as session:
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


@cache
def repository(model: type[ModelT]) -> Callable[..., Awaitable[Repository[ModelT]]]:
    """Return the dependency that provides the repository of a model, with the session of the request.

    To inject another one: `app.dependency_overrides[repository(Order)] = lambda: orders`.
    """

    async def get_repository(session: SessionDep) -> Repository[ModelT]:
        return SQLAlchemyRepository(session, model)

    return get_repository
