# /// script
# dependencies = ["fastapi==0.165.0"]
# ///
"""FastAPI compares each route of each included router. A check of the router's prefix avoids most comparisons.

`_IncludedRouter.matches` could return `Match.NONE` if the path does not start with the router's prefix.
`PrefixRouter` does nearly that from outside: it asks whether the path has its own prefix anywhere.
"""

import asyncio
import time

from fastapi import APIRouter, FastAPI
from starlette.routing import Match
from starlette.types import Message, Scope

ROUTERS, REQUESTS = 500, 50


class PrefixRouter(APIRouter):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if self.prefix in scope["path"] else (Match.NONE, {})


async def answer() -> None:
    pass


def build(router_class: type[APIRouter]) -> FastAPI:
    app = FastAPI()
    for number in range(ROUTERS):
        router = router_class(prefix=f"/resource{number}")
        for path, method in (("", "GET"), ("", "POST"), ("/{id}", "GET"), ("/{id}", "PATCH"), ("/{id}", "DELETE")):
            router.add_api_route(path, answer, methods=[method])
        app.include_router(router, prefix="/api")
    return app


async def measure(app: FastAPI, path: str) -> float:
    """Return microseconds for a request."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "query_string": b"", "headers": []}

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        pass

    async def ask(times: int) -> float:
        started = time.process_time()
        for _ in range(times):
            await app(dict(scope), receive, send)
        return (time.process_time() - started) / times * 1e6

    await ask(3)
    return min([await ask(REQUESTS) for _ in range(3)])


async def main() -> None:
    now, then = build(APIRouter), build(PrefixRouter)
    for path in ("/api/resource0/1", f"/api/resource{ROUTERS - 1}/1", "/nowhere"):
        print(f"{path:20} {await measure(now, path):6.0f} µs, with the check {await measure(then, path):6.0f} µs")


if __name__ == "__main__":
    asyncio.run(main())
