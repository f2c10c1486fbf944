"""Every call of the bot in an eventful evening, and every answer it was given, held against what GitHub publishes."""

from collections.abc import Iterator
from typing import Any

import pytest
from living_lab import Lab, Target, eventually, opened
from quick_task import BETTER, CONTRACT, slow
from recorded import Call, Description, Recorder, tally

from bot.edge.github.access import Access
from bot.edge.github.installations import contract_needs, installed
from bot.hub import hub as hub_module
from bot.hub.faults import DeliveryFault

pytestmark = [pytest.mark.npm, pytest.mark.slow]

# What the bot must have been seen to call, so that the evening was eventful enough. In the description's words.
CALLS = {
    "GET /app",
    "GET /app/hook/deliveries",
    "GET /app/hook/deliveries/{delivery_id}",
    "POST /app/installations/{installation_id}/access_tokens",
    "GET /repos/{owner}/{repo}",
    "GET /repos/{owner}/{repo}/collaborators/{username}/permission",
    "GET /repos/{owner}/{repo}/commits/{ref}",
    "GET /repos/{owner}/{repo}/commits/{ref}/check-runs",
    "GET /repos/{owner}/{repo}/compare/{basehead}",
    "GET /repos/{owner}/{repo}/contents/{path}",
    "GET /repos/{owner}/{repo}/git/commits/{commit_sha}",
    "GET /repos/{owner}/{repo}/git/ref/{ref}",
    "GET /repos/{owner}/{repo}/git/trees/{tree_sha}",
    "GET /repos/{owner}/{repo}/git/blobs/{file_sha}",
    "GET /repos/{owner}/{repo}/installation",
    "GET /repos/{owner}/{repo}/issues",
    "GET /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "GET /repos/{owner}/{repo}/issues/{issue_number}/labels",
    "GET /repos/{owner}/{repo}/labels/{name}",
    "GET /repos/{owner}/{repo}/pulls",
    "GET /repos/{owner}/{repo}/pulls/{pull_number}",
    "DELETE /repos/{owner}/{repo}/git/refs/{ref}",
    "DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}",
    "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
    "PATCH /repos/{owner}/{repo}/git/refs/{ref}",
    "PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}",
    "PATCH /repos/{owner}/{repo}/pulls/{pull_number}",
    "POST /repos/{owner}/{repo}/check-runs",
    "POST /repos/{owner}/{repo}/git/commits",
    "POST /repos/{owner}/{repo}/git/refs",
    "POST /repos/{owner}/{repo}/git/trees",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/labels",
    "POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions",
    "POST /repos/{owner}/{repo}/labels",
    "POST /repos/{owner}/{repo}/pulls",
    "PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge",
    "PUT /repos/{owner}/{repo}/pulls/{pull_number}/update-branch",
}  # fmt: skip
MOST_WRITES = 40  # of one experiment that is merged, its progress left out


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def lab(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        make_app = hub_module.make_app
        patch.setattr(hub_module, "make_app", lambda *args, **more: recorder.into(make_app(*args, **more)))
        with opened(tmp_path_factory.mktemp("lab")) as lab:
            yield lab


def by_the_bot(calls: list[Call], target: Target | None = None) -> list[Call]:
    return [call for call in calls if call.agent == "nightlab" and (target is None or f"/{target.name}" in call.path)]


def test_an_eventful_evening(lab: Lab, recorder: Recorder, openapi: dict[str, Any]) -> None:
    description = Description(openapi)
    quiet = lab.repository()
    merged = quiet.row(quiet.experiment(BETTER))
    assert merged["state"] == "merged", merged["reason"]
    lab.settle(quiet)
    of_one = by_the_bot(recorder.calls, quiet)
    print("One experiment from comment to merge,", tally(of_one, description))  # noqa: T201 - a report, with -s

    busy = lab.repository(train=slow(0.3))
    busy.push("main", ".github/nightlab.yml", CONTRACT + "nonsense: 1\n")
    busy.push("main", ".github/nightlab.yml", CONTRACT)
    busy.ask("/help")
    busy.ask("/experiment", login="eve")
    held = busy.experiment(BETTER)
    pull = busy.pull()
    busy.ask("/hold", number=pull.number)
    eventually(lambda: "on hold" in [label.name for label in busy.pull().labels], "the hold")
    busy.push("main", "notes.md", "Main moves on.\n")
    lab.hub.protect(busy.name, "main", require_pull=True)
    busy.ask("/resume", number=pull.number)
    assert busy.row(held)["state"] == "merged"
    assert pull.draft, "it was one while it was measured"
    assert not busy.ada.get_pull(pull.number).draft, "the ordinary merge needs it ready"
    closed = busy.experiment("LR 0.75")
    second = eventually(lambda: next((p for p in busy.ada.get_pulls() if p.number != pull.number), None), "another")
    busy.ask("/close", number=second.number)
    assert busy.row(closed)["state"] == "abandoned"
    lab.hub.faults.add_to_deliveries(DeliveryFault(event="issue_comment", lose=True))
    lost = busy.ask("/campaign start n=1")
    eventually(lambda: [d for d in busy.deliveries() if d.status_code == 0], "the loss")
    lab.bot.kill()
    lab.bot.start()
    busy.row(f"k{lost.id}-1")
    lab.settle(busy)
    access = Access(
        api_url=lab.hub.api_url,
        app_id=int(lab.bot.environment["NIGHTLAB_APP_ID"]),
        private_key=(lab.bot.folder / "key.pem").read_text(),
        token="",
        write_spacing_s=0,
    )
    assert [found.account for found in installed(access)] == ["ada"]
    assert contract_needs(access, busy.name) == ""

    calls = by_the_bot(recorder.calls)
    wrong = {f"{call.method} {call.path} -> {call.status}: {problem}" for call in calls
             if call.status != 304 for problem in description.problems(call)}  # fmt: skip
    assert not wrong, "\n".join(sorted(wrong))
    seen = {description.operation(call) for call in calls}
    assert seen >= CALLS, f"not seen: {sorted(CALLS - seen)}"
    print("In all,", tally(calls, description))  # noqa: T201
    assert sum(call.writes for call in of_one if "/check-runs/" not in call.path) <= MOST_WRITES
