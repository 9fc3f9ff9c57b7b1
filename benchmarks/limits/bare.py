"""The limit of the requests: the service's answers and statements on Starlette and asyncpg, with nothing between."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

COLUMNS = "id, name, description, created_at, updated_at"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"].replace("+asyncpg", ""), min_size=1, max_size=15) as pool:
        app.state.pool = pool
        yield


def answer(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content, separators=(",", ":"), default=str), status, media_type="application/json")


async def health(request: Request) -> Response:
    return answer({"status": "ok"})


async def read(request: Request) -> Response:
    async with request.app.state.pool.acquire() as connection:
        statement = f"SELECT {COLUMNS} FROM my_service.item WHERE id = $1"
        return answer(dict(await connection.fetchrow(statement, UUID(request.path_params["id"]))))


async def page(request: Request) -> Response:
    limit, after = int(request.query_params["limit"]), request.query_params.get("after")
    where, arguments = ("WHERE id > $2", (UUID(after),)) if after else ("", ())
    async with request.app.state.pool.acquire() as connection:
        statement = f"SELECT {COLUMNS} FROM my_service.item {where} ORDER BY id LIMIT $1"
        rows = await connection.fetch(statement, limit + 1, *arguments)
    items = [dict(row) for row in rows[:limit]]
    return answer({"items": items, "next": items[-1]["id"] if len(rows) > limit else None})


async def create(request: Request) -> Response:
    values: dict[str, Any] = json.loads(await request.body())
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        statement = f"INSERT INTO my_service.item (id, name) VALUES ($1, $2) RETURNING {COLUMNS}"
        row = await connection.fetchrow(statement, uuid4(), values["name"])
    return answer(dict(row), 201)


def main() -> None:
    numbers = range(int(os.environ.get("MORE_RESOURCES", "0")))
    more = [
        Route(f"/api/v1/more{number}{path}", read, methods=[method])
        for number in numbers
        for method, path in (("POST", ""), ("PATCH", "/{id}"), ("DELETE", "/{id}"), ("PUT", "/{id}"), ("GET", "/{id}"))
    ]
    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/health", health),
            Route("/api/v1/items", page),
            Route("/api/v1/items", create, methods=["POST"]),
            Route("/api/v1/items/{id}", read),
            *more,
        ],
    )
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
