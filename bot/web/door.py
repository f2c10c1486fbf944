"""Where HTTP comes in, and who answers: the set-up until the bot runs, then the bot, the set-up's pages beside it."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from bot.hub.server import Server, bind

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what one listens on is not what one opens


class Door:
    """One listening address. Raises PortTakenError, one sentence, when somebody else has it."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = bind(host, port)
        self.url = f"http://{EVERYWHERE.get(host, host)}:{self._listener.getsockname()[1]}"
        self._server: Server | None = None
        self._setup: WSGIApplication | None = None
        self._bot: WSGIApplication | None = None

    def show_setup(self, app: WSGIApplication) -> None:
        self._setup = app
        self._serve()

    def open(self, app: WSGIApplication) -> None:
        """From now on, `app` is the bot."""
        self._bot = app
        self._serve()

    def close(self) -> None:
        """Let running requests end, then let go of the address."""
        if self._server is not None:
            self._server.stop()
        self._listener.close()

    def _serve(self) -> None:
        if self._server is None:
            self._server = Server(self._answer, self._listener)
            self._server.start()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for_setup = environ.get("PATH_INFO", "").startswith("/setup/")
        app = self._setup if self._setup is not None and (self._bot is None or for_setup) else self._bot
        if app is None:
            raise AssertionError("it serves something from the start")
        return app(environ, start_response)
