"""Waitress in a thread that can be stopped."""

import socket
import threading
from wsgiref.types import WSGIApplication

from waitress import wasyncore
from waitress.server import create_server

_THREADS = 8


class PortTakenError(Exception):
    """Somebody else listens there."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises PortTakenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTakenError(
            f"Cannot listen on {host}:{port} ({error.strerror}); stop what does, or choose another port."
        ) from None
    return listener


class Server(threading.Thread):
    """Serves `app` on `listener` until stopped."""

    def __init__(self, app: WSGIApplication, listener: socket.socket) -> None:
        super().__init__(name="hub-server", daemon=True)
        self._map: dict[int, object] = {}
        self._server = create_server(
            app,
            map=self._map,
            sockets=[listener],
            threads=_THREADS,
            clear_untrusted_proxy_headers=True,
            ident=None,
            asyncore_use_poll=True,
        )
        self._stopping = False
        self._woken = threading.Event()

    def run(self) -> None:
        while not self._stopping:
            wasyncore.loop(timeout=1, map=self._map, use_poll=True, count=1)
        self._woken.wait()  # who stops us may be about to pull: close nothing under its hand
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._map)

    def stop(self) -> None:
        """Let running requests end, then close every connection."""
        self._stopping = True
        self._server.pull_trigger()
        self._woken.set()
        self.join()
