"""TCP proxy that can stop forwarding, as a firewall does that drops packets."""

from __future__ import annotations

import selectors
import socket
import threading
from typing import Self


class Proxy:
    """Forwards connections to a port of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._silent = threading.Event()
        self._closed = False
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for each in [self._listener, *self._sockets]:
            each.close()

    def silence(self) -> None:
        """Stop forwarding. Connections stay open, and new ones are accepted."""
        self._silent.set()

    def speak(self) -> None:
        """Close all connections, and forward new ones."""
        for each in self._sockets:
            each.close()
        self._sockets.clear()
        self._silent.clear()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            if self._silent.is_set():
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except ConnectionRefusedError:
                client.close()
                continue
            self._sockets.append(server)
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        try:
            while True:
                for key, _ in selector.select(timeout=1):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if self._silent.is_set():
                        return
                    if not data:
                        client.close()
                        server.close()
                        return
                    key.data.sendall(data)
        except (OSError, ValueError):
            client.close()
            server.close()
