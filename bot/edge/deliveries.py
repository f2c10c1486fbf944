"""Webhooks that never arrived. The forge keeps what it sent for three days and redelivers nothing by itself.

Only an App can ask; with a token, a lost webhook stays lost until a person repeats the command.
"""

import json
from collections.abc import Iterator
from datetime import datetime

from github.HookDelivery import HookDeliverySummary
from github.PaginatedList import PaginatedList

from bot.edge.access import Access

PER_PAGE = 100


def missed(access: Access, *, since: datetime | None = None) -> Iterator[tuple[str, bytes]]:
    """(event name, payload) of every delivery after `since` that no attempt brought through, oldest first.

    Without `since`, of all that the forge still knows.
    """
    if access.integration is None:
        return
    requester = access.integration.requester
    arrived: set[str] = set()
    lost: dict[str, int] = {}  # guid -> id of its first attempt
    newest_first = PaginatedList(HookDeliverySummary, requester, "/app/hook/deliveries", {"per_page": PER_PAGE})
    for delivery in newest_first:
        if since is not None and delivery.delivered_at is not None and delivery.delivered_at < since:
            break
        if 200 <= (delivery.status_code or 0) < 300:
            arrived.add(str(delivery.guid))
        else:
            lost[str(delivery.guid)] = int(delivery.id or 0)
    for guid, identity in sorted(lost.items(), key=lambda item: item[1]):
        if guid not in arrived:
            _, whole = requester.requestJsonAndCheck("GET", f"/app/hook/deliveries/{identity}")
            yield str(whole["event"]), json.dumps(whole["request"]["payload"]).encode()
