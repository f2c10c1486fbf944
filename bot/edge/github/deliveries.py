"""Webhooks that never arrived. The forge keeps what it sent for three days and redelivers nothing by itself.

Only an App can ask; with a token, a lost webhook stays lost until a person repeats the command.
"""

import json
from collections.abc import Iterator
from datetime import datetime

from github.GithubException import UnknownObjectException
from github.HookDelivery import HookDeliverySummary
from github.PaginatedList import PaginatedList

from bot.core.intake.payload import NAMES
from bot.edge.github.access import Access

PER_PAGE = 100


def missed(access: Access, *, since: datetime | None = None) -> Iterator[tuple[str, bytes]]:
    """(event name, payload) of every delivery after `since` that no attempt brought through, oldest first.

    Without `since`, of all that the forge still knows. A redelivery keeps its GUID, so one attempt that got through
    speaks for all. Events that mean nothing to us are not looked up.
    """
    if access.app is None:
        return
    arrived: set[str] = set()
    lost: dict[str, int] = {}  # guid -> id of its first attempt
    newest_first = PaginatedList(HookDeliverySummary, access.app, "/app/hook/deliveries", {"per_page": PER_PAGE})
    for delivery in newest_first:
        if since is not None and delivery.delivered_at is not None and delivery.delivered_at < since:
            break
        if 200 <= (delivery.status_code or 0) < 300:
            arrived.add(str(delivery.guid))
        elif delivery.event in NAMES:
            lost[str(delivery.guid)] = int(delivery.id or 0)
    for guid, identity in sorted(lost.items(), key=lambda item: item[1]):
        if guid not in arrived:
            try:
                _, whole = access.app.requestJsonAndCheck("GET", f"/app/hook/deliveries/{identity}")
            except UnknownObjectException:  # three days old in this instant
                continue
            yield str(whole["event"]), json.dumps(whole["request"]["payload"]).encode()
