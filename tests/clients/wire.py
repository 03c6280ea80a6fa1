"""A wire between a client and the server, on which a test catches requests and answers.

The wire holds what it caught until the test lets it go. So the test can kill a client at a moment
that otherwise lasts microseconds: while its request, or the answer to it, is on the way.
"""

from __future__ import annotations

import re
import socket
import threading

import httpx

from waiting import wait_until

CHUNK_BYTES = 1 << 16


class Catch:
    """The first exchange on the wire whose request matches, once it comes."""

    def __init__(self, pattern: str, catches_answer: bool):
        self._pattern = re.compile(pattern.encode(), re.DOTALL)
        self._catches_answer = catches_answer
        self._caught = threading.Event()
        self._let_go = threading.Event()
        self._is_lost = False
        self.connection: Connection | None = None

    def wait(self) -> None:
        """Waits until the catch holds an exchange."""
        wait_until(self._caught.is_set, "it is caught on the wire", within_seconds=120)

    def holds_something(self, within_seconds: float) -> bool:
        """Whether a matching exchange comes in that time."""
        return self._caught.wait(within_seconds)

    def pass_on(self) -> None:
        """Passes on the held bytes to a client that lives."""
        assert self.connection is not None, "nothing is caught yet"
        self._let_go.set()

    def deliver(self) -> None:
        """Passes on the held bytes, and waits for the connection's end: the client is gone."""
        self._go_on()

    def lose(self) -> None:
        """Drops the held bytes, and ends the connection."""
        self._is_lost = True
        self._go_on()

    def _go_on(self) -> None:
        self.pass_on()
        assert self.connection is not None
        wait_until(self.connection.is_over, "the connection has ended")

    def hold(self, connection: Connection, request: bytes, is_answer: bool) -> bool:
        """Holds a matching exchange until the test lets it go. Returns whether to pass it on."""
        is_wanted = is_answer == self._catches_answer and not self._caught.is_set()
        if not is_wanted or not self._pattern.search(request):
            return True
        self.connection = connection
        self._caught.set()
        self._let_go.wait(timeout=120)
        return not self._is_lost


class Connection:
    """A client's connection, and the matching connection to the server."""

    def __init__(self, wire: Wire, client: socket.socket, server: socket.socket):
        self._wire, self._client, self._server = wire, client, server
        self._request = b""
        self._threads = [
            threading.Thread(target=self._carry, args=(client, server, False), daemon=True),
            threading.Thread(target=self._carry, args=(server, client, True), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _carry(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        try:
            while chunk := source.recv(CHUNK_BYTES):
                if not is_answer:
                    self._request += chunk
                if not self._wire.pass_on(self, self._request, is_answer):
                    break
                if is_answer:
                    self._request = b""
                target.sendall(chunk)
        except OSError:
            pass  # One end is gone, so the other one ends at once.
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It was gone before.


class Wire:
    """Listens for a client's connections, and carries them to the server."""

    def __init__(self, server_url: str):
        url = httpx.URL(server_url)
        self._server = (url.host, url.port)
        self._catches: list[Catch] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.api_url = str(url.copy_with(port=self._listener.getsockname()[1]))
        threading.Thread(target=self._accept, daemon=True).start()

    def catch_request(self, pattern: str) -> Catch:
        """Catches the next matching request before it reaches the server."""
        return self._catch(pattern, catches_answer=False)

    def catch_answer(self, pattern: str) -> Catch:
        """Catches the answer to the next matching request."""
        return self._catch(pattern, catches_answer=True)

    def cut(self) -> None:
        """Accepts no more connections."""
        self._listener.close()

    def pass_on(self, connection: Connection, request: bytes, is_answer: bool) -> bool:
        return all(catch.hold(connection, request, is_answer) for catch in self._catches)

    def _catch(self, pattern: str, *, catches_answer: bool) -> Catch:
        catch = Catch(pattern, catches_answer)
        self._catches.append(catch)
        return catch

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # It was cut.
            try:
                Connection(self, client, socket.create_connection(self._server))
            except OSError:
                client.close()  # Without a server, this wire accepts no connection either.
