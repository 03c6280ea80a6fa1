"""A wire between a client and the server, on which the test catches what is under way.

What is caught is held until the test lets it go. With that, a client can be killed at a moment
that otherwise lasts microseconds: its request is sent and not yet there, or it is answered and the
answer is not yet there.
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
        """Waits until it holds something."""
        wait_until(self._caught.is_set, "it is caught on the wire", within_seconds=120)

    def holds_something(self, within_seconds: float) -> bool:
        """Whether there comes something to hold in that time."""
        return self._caught.wait(within_seconds)

    def pass_on(self) -> None:
        """Lets go what it holds; its client lives."""
        assert self.connection is not None, "nothing is caught yet"
        self._let_go.set()

    def deliver(self) -> None:
        """Lets go what it holds, and waits for the end of the connection: its client is gone."""
        self._go_on()

    def lose(self) -> None:
        """Loses what it holds, and ends the connection."""
        self._is_lost = True
        self._go_on()

    def _go_on(self) -> None:
        self.pass_on()
        assert self.connection is not None
        wait_until(self.connection.is_over, "the connection has ended")

    def hold(self, connection: Connection, request: bytes, is_answer: bool) -> bool:
        """Holds what matches, until the test lets it go; answers whether it is to go on."""
        is_wanted = is_answer == self._catches_answer and not self._caught.is_set()
        if not is_wanted or not self._pattern.search(request):
            return True
        self.connection = connection
        self._caught.set()
        self._let_go.wait(timeout=120)
        return not self._is_lost


class Connection:
    """One connection of a client, and the one to the server that belongs to it."""

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
            pass  # One of the two is gone, and so is the other at once.
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # It was gone before.


class Wire:
    """Listens where a client may connect, and carries what it sends to the server."""

    def __init__(self, server_url: str):
        url = httpx.URL(server_url)
        self._server = (url.host, url.port)
        self._catches: list[Catch] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.api_url = str(url.copy_with(port=self._listener.getsockname()[1]))
        threading.Thread(target=self._accept, daemon=True).start()

    def catch_request(self, pattern: str) -> Catch:
        """Catches the next request that matches, before the server has it."""
        return self._catch(pattern, catches_answer=False)

    def catch_answer(self, pattern: str) -> Catch:
        """Catches the answer to the next request that matches."""
        return self._catch(pattern, catches_answer=True)

    def cut(self) -> None:
        """Takes no more connections."""
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
                client.close()  # There is no server, and so nobody listens here either.
