"""Error responses: every error is a problem document (RFC 9457)."""

from functools import partial
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Match

from .database import Database, error_summary
from .errors import (
    ConflictError,
    DatabaseUnavailableError,
    InvalidValueError,
    NotFoundError,
    PreconditionFailedError,
    ServiceError,
)
from .logs import get_logger
from .repositories.constraints import constraint_error
from .schemas.problem import FieldError, Problem

logger = get_logger(__name__)

STATUSES: dict[type[ServiceError], int] = {
    ServiceError: 400,
    NotFoundError: 404,
    ConflictError: 409,
    PreconditionFailedError: 412,
    InvalidValueError: 422,
    DatabaseUnavailableError: 503,
}
"""The status of each error and its subclasses."""

RETRY_AFTER = "1"  # seconds
MAXIMUM_ERRORS = 100  # a body of 1 MB can have 100,000


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def problem_response(
    request: HTTPConnection,
    status: int,
    detail: str | None = None,
    *,
    headers: dict[str, str] | None = None,
    errors: list[FieldError] | None = None,
    members: dict[str, Any] | None = None,
) -> ProblemResponse:
    """Return an error response.

    Args:
        detail: a sentence for clients, without internal details.
        members: further members of the problem document.
    """
    context = getattr(request.state, "context", None)
    problem = Problem(
        title=_phrase(status),
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=context and context.request_id,
        errors=errors,
    )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": RETRY_AFTER, **(headers or {})}
    return ProblemResponse({**(members or {}), **problem.model_dump(exclude_none=True)}, status, headers)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else f"Status {status}"


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` argument of a route or application, for its OpenAPI description."""

    def describe(title: str, status: int) -> dict[str, Any]:
        example = {"type": "about:blank", "title": title, "status": status}
        content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        return {"description": title, "content": {ProblemResponse.media_type: content}}

    return {status: describe(HTTPStatus(status).phrase, status) for status in statuses}


def register_problem_handlers(app: FastAPI) -> None:
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid_request)
    app.exception_handler(ServiceError)(_on_service_error)
    app.exception_handler(StatementError)(_on_database_error)
    app.exception_handler(StaleDataError)(_on_stale_data)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI description, with the schema of problem documents."""
    description = FastAPI.openapi(app)
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    if Problem.__name__ not in schemas:
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update({**problem.pop("$defs"), Problem.__name__: problem})
    return description


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    if error.status_code < 200 or error.status_code in (204, 304):  # statuses without a body
        return Response(status_code=error.status_code, headers=headers)
    content: Any = jsonable_encoder(error.detail)
    members = content if isinstance(content, dict) else {}
    detail = None if members or content == _phrase(error.status_code) else str(content)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(method for method in HTTPMethod if _is_allowed(request, method))
        detail = detail or f"This path does not support {request.method}. It supports {headers['Allow']}."
    elif error.status_code == HTTPStatus.NOT_FOUND:
        detail = detail or "This path does not exist."
    return problem_response(request, error.status_code, detail, headers=headers, members=members)


def _is_allowed(request: Request, method: str) -> bool:
    # FastAPI itself names only the methods of the first route of the path.
    scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)


async def _on_invalid_request(request: Request, error: RequestValidationError) -> ProblemResponse:
    errors = [
        FieldError(location=".".join(str(part) for part in problem["loc"]), message=problem["msg"])
        for problem in error.errors()[:MAXIMUM_ERRORS]
    ]
    return problem_response(request, 422, "Invalid values: `errors` names each field and its rule.", errors=errors)


async def _on_service_error(request: Request, error: ServiceError) -> ProblemResponse:
    status = next(STATUSES[parent] for parent in type(error).__mro__ if parent in STATUSES)
    return problem_response(request, status, str(error))


async def _on_database_error(request: Request, error: StatementError) -> ProblemResponse:
    """Answer errors that no repository handles, such as those of a commit."""
    database: Database = request.app.state.database
    if database.backend.is_invalid_value(error):
        logger.warning("invalid_value", reason=error_summary(error))
        return problem_response(request, 422, "The database cannot store or compare one of the values.")
    if isinstance(error, DBAPIError) and database.backend.is_transient(error):
        logger.warning("database_unavailable", reason=error_summary(error))
        return await _on_service_error(request, DatabaseUnavailableError())
    violation = constraint_error(error) if isinstance(error, IntegrityError) else None
    if violation is None:
        raise error
    return await _on_service_error(request, violation)


async def _on_stale_data(request: Request, error: StaleDataError) -> ProblemResponse:
    """Answer a commit of changes to a `Versioned` entity that another transaction has changed."""
    return await _on_service_error(request, ConflictError("Another request has changed this entity. Read it again."))
