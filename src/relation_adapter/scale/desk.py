"""The desk of all who ask a model, kept by this process and used by workers over a connection each thread has.

Where a worker is lost its connections end, and what it held at the desk is let go of at once.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from relation_adapter.vlm.desk import Desk
from relation_adapter.vlm.spending import Spent, Stopped


@contextmanager
def served(desk: Desk, host: str) -> Iterator[FarDesk]:
    """A desk for workers, for the time of the block. host: of this machine, as they see it."""
    key = secrets.token_bytes(32)
    with Listener((host, 0), backlog=1024, authkey=key) as listener:
        threading.Thread(target=_accept, args=(listener, desk), daemon=True).start()
        try:
            yield FarDesk(listener.address, key)
        finally:
            # Closing alone does not wake whoever waits to accept.
            with suppress(OSError):
                listener._listener._socket.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]


def _accept(listener: Listener, desk: Desk) -> None:
    while True:
        try:
            connection = listener.accept()
        except (ConnectionError, EOFError):  # somebody who went away, as a worker that is lost
            continue
        except Exception as error:  # a stranger without the key, or the end
            if isinstance(error, OSError):
                return
            continue
        threading.Thread(target=_serve, args=(connection, desk), daemon=True).start()


def _serve(connection: Connection[Any, Any], desk: Desk) -> None:
    """Do what one thread of one worker asks for, until it goes; `leave` ends what was entered last."""
    with connection, ExitStack() as held:
        entered: list[AbstractContextManager[None]] = []
        held.callback(lambda: [one.__exit__(None, None, None) for one in reversed(entered)])
        while True:
            try:
                name, given, values = connection.recv()
            except (EOFError, OSError):
                return
            answer: tuple[Any, Exception | None]
            try:
                if name == "leave":
                    found = entered.pop().__exit__(None, None, None)
                elif name in ("alone", "request"):
                    place: AbstractContextManager[None] = getattr(desk, name)(*given)
                    found = place.__enter__()
                    entered.append(place)
                else:
                    found = getattr(desk, name)(*given, **values)
                answer = (found, None)
            except Exception as error:
                answer = (None, error)
            with suppress(OSError):
                connection.send(answer)


class FarDesk(Desk):
    """The desk as a worker has it. Stopped is raised where it is there no more."""

    def __init__(self, address: Any, key: bytes) -> None:
        self._address, self._key = address, key
        self._own = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return FarDesk, (self._address, self._key)

    def _ask(self, name: str, *given: Any, **values: Any) -> Any:
        try:
            if not hasattr(self._own, "connection"):
                self._own.connection = Client(self._address, authkey=self._key)
            self._own.connection.send((name, given, values))
            found, error = self._own.connection.recv()
        except (EOFError, OSError) as gone:
            raise Stopped from gone
        if error is not None:
            raise error
        return found

    @contextmanager
    def _within(self, name: str, given: Any) -> Iterator[None]:
        self._ask(name, given)
        try:
            yield
        finally:
            self._ask("leave")

    def final(self, key: str) -> dict[str, Any] | None:
        return self._ask("final", key)

    def add(self, event: str, key: str, **values: Any) -> None:
        self._ask("add", event, key, **values)

    def alone(self, key: str) -> AbstractContextManager[None]:
        return self._within("alone", key)

    def request(self, most: Spent) -> AbstractContextManager[None]:
        return self._within("request", most)

    def turn(self) -> None:
        self._ask("turn")

    def hold(self, seconds: float) -> None:
        self._ask("hold", seconds)

    def pause(self, seconds: float) -> None:
        self._ask("pause", seconds)

    def came(self, to_nothing: bool) -> int:
        return int(self._ask("came", to_nothing))

    def stop(self) -> None:
        self._ask("stop")

    def settle(self, seconds: float) -> None:
        self._ask("settle", seconds)
