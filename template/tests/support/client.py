"""Client for tests."""

import asyncio

from fastapi import FastAPI
from httpx2 import ASGITransport, Request, Response


class SerialTransport(ASGITransport):
    """Sends one request after the other, also with `asyncio.gather`: all share the connection of the test."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app)
        self._lock = asyncio.Lock()

    async def handle_async_request(self, request: Request) -> Response:
        async with self._lock:
            return await super().handle_async_request(request)
