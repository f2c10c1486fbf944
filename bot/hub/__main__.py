"""`python -m bot.hub --root DIR --port N`: the hub alone."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from bot.hub import Hub, HubError
from bot.hub.server import PortTakenError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bot.hub", description="A GitHub-compatible forge on one folder.")
    parser.add_argument("--root", type=Path, required=True, help="folder that holds everything; made when missing")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=3000, help="port to listen on (default: %(default)s)")
    parser.add_argument("--base-url", help="where people find it, when that is not http://HOST:PORT")
    parser.add_argument("--visitor", help="login that every browser acts as; only where you trust who can connect")
    parser.add_argument(
        "--user", action="append", default=[], metavar="LOGIN", help="make this user when missing, and print a token"
    )
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        hub = Hub(
            arguments.root,
            host=arguments.host,
            port=arguments.port,
            base_url=arguments.base_url,
            visitor=arguments.visitor,
        )
        for login in arguments.user:
            if hub.create_user(login):
                print(f"Token of {login}, shown this once: {hub.create_token(login)}")  # noqa: T201 - a command's output
    except (HubError, PortTakenError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a command's output
        return 1
    with hub:
        print(f"Serving {arguments.root} at {hub.base_url}", flush=True)  # noqa: T201 - this is a command's output
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
