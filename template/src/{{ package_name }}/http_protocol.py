"""Limits for clients that send or read too slowly, or too much. uvicorn limits only idle connections."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAXIMUM_HEAD = 65536
"""Bytes of an incomplete request head, or of a chunked body between two pieces of data."""

HEAD_TIMEOUT = 10.0
"""Seconds for a request head, from the start of the connection or the first byte of a later head."""

SEND_TIMEOUT = 10.0
"""Seconds without progress until a client that does not read its response is disconnected."""

MAXIMUM_PIPELINE = 10
"""Requests that wait for an earlier one of their connection. A new connection waits for those of all connections."""


class LimitedHTTPProtocol(HttpToolsProtocol):
    """uvicorn's protocol for HTTP/1.1, with limits. WebSockets leave it when they are accepted."""

    _running: RequestResponseCycle | None = None
    _incomplete = 0  # bytes since the last complete head or piece of data
    _head_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.cycle = self._running or self.cycle  # uvicorn would tell only the last pipelined request
        super().connection_lost(exc)
        for timer in filter(None, (self._head_timer, self._send_timer)):
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._incomplete += len(data)
        super().data_received(data)
        # A WebSocket is not in `connections`.
        idle = self in self.connections and (self.cycle is None or self.cycle.response_complete)
        if self._incomplete > MAXIMUM_HEAD and not self.transport.is_closing():
            self.send_400_response("")
        elif idle and not self._head_timer:
            # The rest of a body that nobody reads gets the time of an idle connection.
            seconds = HEAD_TIMEOUT if self._incomplete else self.timeout_keep_alive
            self._head_timer = self.loop.call_later(seconds, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if self._incomplete > MAXIMUM_HEAD:
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n")
            self.transport.close()
        else:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        head = [self.url, *(name + value for name, value in self.headers)] if self._incomplete > MAXIMUM_HEAD else []
        if sum(map(len, head)) > MAXIMUM_HEAD or len(self.pipeline) == MAXIMUM_PIPELINE:
            raise RuntimeError  # uvicorn then calls send_400_response
        super().on_headers_complete()
        self._incomplete = 0
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._incomplete = 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_progress()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer and not self.transport.is_closing():
            self._send_timer.cancel()

    def _watch_progress(self, before: int | None = None) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting == before:
            self.transport.abort()
        else:
            self._send_timer = self.loop.call_later(SEND_TIMEOUT, self._watch_progress, waiting)

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()  # close() would wait for a client that does not read
