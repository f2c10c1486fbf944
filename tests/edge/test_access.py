"""One identity on the forge, used by many threads at once."""

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bot.edge.github.access import Access
from bot.hub import Hub


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    with Hub(tmp_path / "hub") as hub:
        hub.create_user("ada")
        hub.create_repo("ada", "model")
        app = hub.create_app("ada", "Nightlab", account="ada")
        yield Access(
            api_url=hub.api_url, app_id=app.app_id, private_key=app.private_key_pem, token="", write_spacing_s=0.0
        )


def test_threads_that_share_a_wire_get_their_own_answers(access: Access) -> None:
    """PyGithub's own connection fails this: it would send the second thread's request for the first one."""
    wire = access.forge("ada/model").wire
    connection, path = wire._connection, urlsplit(wire.base_url).path
    connection.request("GET", f"{path}/users/ada", None, {})
    another = threading.Thread(target=connection.request, args=("GET", f"{path}/rate_limit", None, {}))
    another.start()
    another.join()
    assert '"login":"ada"' in connection.getresponse().read().replace(" ", "")


def test_the_app_is_its_bot_user(access: Access) -> None:
    assert access.login == "nightlab[bot]"
    assert access.forge("ada/model").login == "nightlab[bot]"
