"""Looking at the forge as an outsider does before work begins: who we are there, what we may, whether webhooks come."""

import time
from collections.abc import Iterator, Mapping

from bot.core import app as apps
from bot.core.text import line
from bot.core.words.finding import Finding, broken, note, ok
from bot.edge.github.access import Access
from bot.edge.github.allowance import server_time_s
from bot.edge.github.wire import SKEW_S, Wire

PATIENCE_S = 15.0  # with a webhook that we asked the forge to send again
LOOK_S = 1.0


def forge(access: Access, *, api_url: str) -> Iterator[Finding]:
    """Whether the forge answers, knows us, and has the same time. Nothing else is worth a look when it does not."""
    asked_s = time.time()
    headers, _ = access.own.requestJsonAndCheck("GET", "/meta")
    skew_s = server_time_s(headers) - (asked_s + time.time()) / 2
    headers, about = access.own.requestJsonAndCheck("GET", "/app" if access.app else "/user")
    yield ok("forge", f"{api_url} answers")
    if abs(skew_s) > SKEW_S:
        yield note(
            "clock", f"the forge's is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}", "set ours by NTP"
        )
    else:
        yield ok("clock", "it agrees with the forge's")
    if access.app is None:
        yield from _token(about["login"], headers)
        return
    yield ok("identity", f"the App {about['slug']}")
    lacks = apps.missing_permissions(about.get("permissions") or {})
    deaf = apps.missing_events(about.get("events") or [])
    place = f"{apps.web_url(api_url)}/settings/apps/{about['slug']}/permissions"
    if lacks:
        yield broken("permissions", f"the App lacks: {', '.join(lacks)}", f"grant them on {place}, then accept them")
    if deaf:
        yield broken("events", f"the App does not hear of: {', '.join(deaf)}", f"subscribe to them on {place}")
    if not lacks and not deaf:
        yield ok("permissions", "the App has the permissions and events that the loop uses")


def _token(login: str, headers: Mapping[str, object]) -> Iterator[Finding]:
    yield ok("identity", f"a token of {login}")
    yield note(
        "token",
        "without an App: a commit status instead of the check with its table, no look-up of webhooks that were lost, "
        f"and comments and commits under the name of {login}",
        "make an App: start `nightlab serve` without NIGHTLAB_TOKEN",
    )
    if headers.get("x-oauth-scopes"):  # only classic tokens say
        yield note("token", f"it is a classic one and opens all of {login}'s repositories", "use a fine-grained token")


def webhook(access: Access, *, public_url: str | None) -> Iterator[Finding]:
    """Whether webhooks arrive: by what the forge remembers of the last ones, or by one that it sends again."""
    if access.app is None:
        yield note("webhook", "a token cannot see it", "look at its deliveries in the repository's settings")
        return
    _, config = access.app.requestJsonAndCheck("GET", "/app/hook/config")
    url = str(config.get("url") or "")
    if not url:
        yield broken("webhook", "the App has none", "set its webhook to https://<where this bot is>/webhook")
        return
    if public_url and not url.startswith(public_url.rstrip("/")):
        yield note("webhook", f"it goes to {url}, not to NIGHTLAB_PUBLIC_URL", "correct one of the two")
    _, log = access.app.requestJsonAndCheck("GET", "/app/hook/deliveries?per_page=30")
    if not log:
        yield note("webhook", f"nothing was sent to {url} lately", "comment /help on an issue, and look again")
        return
    newest = log[0]
    if not 200 <= (newest.get("status_code") or 0) < 300:
        newest = _again(access.app, newest)
    code, said = newest.get("status_code") or 0, line(str(newest.get("status", "")), 100)
    if 200 <= code < 300:
        yield ok("webhook", f"the last one to {url} arrived")
    elif code == 401:
        yield broken("webhook", f"{url} refuses the signature", "set NIGHTLAB_WEBHOOK_SECRET to the App's secret")
    else:
        yield broken(
            "webhook",
            f"the last one to {url} did not arrive ({code or 'no answer'}: {said})",
            "start the bot, and let the forge reach it: its port, its proxy, its name",
        )


def _again(app: Wire, failed: dict[str, object]) -> dict[str, object]:
    """The same delivery sent once more; what has been taken already is not taken twice. As it ended."""
    app.requestJsonAndCheck("POST", f"/app/hook/deliveries/{failed['id']}/attempts")
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        time.sleep(LOOK_S)
        _, log = app.requestJsonAndCheck("GET", "/app/hook/deliveries?per_page=30")
        for delivery in log:
            if delivery["guid"] == failed["guid"] and delivery["id"] != failed["id"]:
                return dict(delivery)
    return failed
