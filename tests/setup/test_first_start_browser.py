"""The first start in a real browser, which enforces what no HTTP client does: policies, cookies, redirects of forms."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living_lab import eventually
from test_first_start import FirstStart, first  # noqa: F401 - a fixture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


class Browser:
    """One page of headless chromium, told what to do over its debugging pipe."""

    def __init__(self, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [
            CHROMIUM or "",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        pipes = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", pipes, "bash", *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._count, self._rest, self._session = 0, b"", ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)

    def see(self, text: str) -> None:
        """Wait until the page shows this."""
        shows = f"document.body !== null && document.body.innerText.includes({json.dumps(text)})"
        eventually(lambda: self._run(shows), f"a page with {text!r}; it shows {self._run('document.body.innerText')!r}")

    def click(self, text: str) -> None:
        """The button or link of this text."""
        among = "[...document.querySelectorAll('button, a')]"
        self._run(f"{among}.find(one => one.innerText.includes({json.dumps(text)})).click()")

    def _run(self, expression: str) -> Any:
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True)
        return answer.get("result", {}).get("value")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                self._rest += os.read(self._in, 65536)
            line, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(line)
            if answer.get("id") == self._count:
                found: dict[str, Any] = answer.get("result", {})
                return found


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


def test_a_person_gets_from_the_link_to_a_bot_that_is_ready(first: FirstStart, browser: Browser) -> None:  # noqa: F811
    browser.open(first.link())
    browser.see("Address at which the forge reaches this bot")
    browser.click("Continue")
    browser.see("Create it on the forge")
    browser.click("Create it on the forge")
    browser.see("Create app for ada")
    browser.click("Create app for ada")
    browser.see("the bot is running with it")
    browser.click("Install it on repositories")
    browser.see("Install it on all 2 repositories of ada")
    browser.click("Install")
    browser.see("nothing: it is ready")
    first.listens()
