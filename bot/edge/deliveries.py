"""Webhooks that never arrived. The forge keeps what it sent for three days and redelivers nothing by itself.

Only an App can ask; with a token, a lost webhook stays lost until a person repeats the command.
"""

import json
from typing import Any

from bot.edge.access import Access

PER_PAGE = 100


def missed(access: Access) -> list[tuple[str, bytes]]:
    """(event name, payload) of every recent delivery that no attempt brought through, oldest first."""
    if access.integration is None:
        return []
    requester = access.integration.requester
    arrived: set[str] = set()
    lost: dict[str, int] = {}  # guid -> id of its first attempt
    _, deliveries = requester.requestJsonAndCheck("GET", f"/app/hook/deliveries?per_page={PER_PAGE}")
    for delivery in _objects(deliveries):
        if 200 <= int(delivery["status_code"]) < 300:
            arrived.add(delivery["guid"])
        else:
            lost[delivery["guid"]] = int(delivery["id"])
    found = []
    for guid, identity in sorted(lost.items(), key=lambda item: item[1]):
        if guid not in arrived:
            _, whole = requester.requestJsonAndCheck("GET", f"/app/hook/deliveries/{identity}")
            found.append((str(whole["event"]), json.dumps(whole["request"]["payload"]).encode()))
    return found


def _objects(data: Any) -> list[dict[str, Any]]:
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
