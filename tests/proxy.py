"""TCP proxy that delays data, as distance does, or stops forwarding, as a firewall does that drops packets."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Self


class Proxy:
    """Forwards connections to a port of this machine, in a thread.

    Args:
        target: the port. It can be changed, as an address that moves to another server.
        round_trip: seconds that the data of a request and its response are delayed in total. It can be changed.
    """

    def __init__(self, target: int, round_trip: float = 0) -> None:
        self.round_trip = round_trip
        self.silent = False
        self.ends: set[End] = set()
        self.target = target
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()

    def silence(self) -> None:
        """Stop forwarding. Connections stay open, and new ones are accepted."""
        self.silent = True

    def speak(self) -> None:
        """Close all connections, and forward new ones."""
        self.silent = False
        self.drop()

    def forget(self) -> None:
        """Stop forwarding the connections of now. They stay open, and new ones are forwarded."""
        for end in list(self.ends):
            end.forgotten = True

    def drop(self) -> None:
        """Close all connections, also in the middle of a response."""
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result()

    async def _drop(self) -> None:
        for end in list(self.ends):
            end.abort()

    async def connect(self, client: End) -> None:
        try:
            await self._loop.create_connection(lambda: End(self, client), "127.0.0.1", self.target)
        except OSError:
            client.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._loop.create_server(lambda: End(self), sock=self._listener))
        self._loop.run_forever()
        for end in list(self.ends):
            end.abort()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


class End(asyncio.Protocol):
    """One end of a forwarded connection: the client's, or the server's if `client` is given."""

    def __init__(self, proxy: Proxy, client: End | None = None) -> None:
        self._proxy = proxy
        self.forgotten = False
        self._client = client
        self._other: End | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting = b""  # data of the client before the server's end is open
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._proxy.ends.add(self)
        if self._client is None:
            self._due = self._loop.time() + self._proxy.round_trip  # to open the connection
            if not self._proxy.silent:
                self._connecting = self._loop.create_task(self._proxy.connect(self))
        else:
            self._other, self._client._other = self._client, self
            self._client.data_received(b"")

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._waiting += data
            return
        data, self._waiting = self._waiting + data, b""
        # Data must not overtake earlier data when the delay becomes shorter.
        self._due = max(self._due, self._loop.time() + self._proxy.round_trip / 2)
        self._loop.call_at(self._due, self._other.write, data)

    def write(self, data: bytes) -> None:
        if self._transport is not None and data and not self._is_silent():
            self._transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._proxy.ends.discard(self)
        if self._other is not None and not self._is_silent():
            self._loop.call_at(self._due, self._other.close)

    def _is_silent(self) -> bool:
        return self.forgotten or self._proxy.silent

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
