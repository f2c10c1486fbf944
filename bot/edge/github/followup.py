"""What is in a pull request already, and one more commit on its branch."""

import time
from collections.abc import Mapping

from github.GithubException import GithubException

from bot.core.model import Edit
from bot.core.proposal.hunks import hunks
from bot.core.scope import Change
from bot.edge.github.contents import Commit
from bot.edge.github.forge import Forge

SHOWN_S = 60.0  # after which a forge shows a new commit on its pull request at the latest


def edits(forge: Forge, *, base_sha: str, head_sha: str) -> list[Edit] | str:
    """What leads from one commit to the other; or why that cannot be said in edits."""
    found: list[Edit] = []
    for change in forge.changes(base_sha=base_sha, head_sha=head_sha):
        before, after = _texts(forge, change, base_sha=base_sha, head_sha=head_sha)
        if change.new_mode is None or after is None or (change.old_mode is not None and before is None):
            return f"the branch deletes {change.path}, or it is no text, which I cannot go on from"
        found += (
            hunks(change.path, before, after) if before is not None else [Edit(path=change.path, old="", new=after)]
        )
    return found


def files(forge: Forge, *, base_sha: str, head_sha: str, after: Mapping[str, str]) -> dict[str, str | None]:
    """What a commit on `head_sha` must hold for its tree to be the base's with the texts of `after`; None: no file."""
    wanted: dict[str, str | None] = {}
    for change in forge.changes(base_sha=base_sha, head_sha=head_sha):
        before, now = _texts(forge, change, base_sha=base_sha, head_sha=head_sha)
        if after.get(change.path, before) != now:
            wanted[change.path] = after.get(change.path, before)
    unchanged = {path: text for path, text in after.items() if path not in wanted}
    return wanted | {path: text for path, text in unchanged.items() if forge.read(path, sha=head_sha) != text}


def commit(
    forge: Forge,
    *,
    number: int,
    branch: str,
    head_sha: str,
    files: Mapping[str, str | None],
    message: str,
    when_utc: str,
) -> Commit | None:
    """The commit, which is the branch's tip now; None when the branch or the pull request is not as we left it."""
    made = forge.commit_files(parent_sha=head_sha, files=files, message=message, when_utc=when_utc)
    tip = forge.tip(branch)
    if tip is None or tip.sha not in (head_sha, made.sha) or not forge.pull(number).open:
        return None
    if tip.sha == head_sha:
        try:
            forge.repo.get_git_ref(f"heads/{branch}").edit(made.sha, force=False)
        except GithubException as error:
            if error.status in (409, 422):  # somebody pushed in this instant
                return None
            raise
    deadline_s = time.monotonic() + SHOWN_S
    while forge.pull(number).head.sha == head_sha and time.monotonic() < deadline_s:
        time.sleep(0.5)
    return made


def describe(forge: Forge, *, number: int, title: str, body: str) -> None:
    """Bring title and description of a pull request up to date."""
    pull = forge.repo.get_pull(number)
    if (pull.title, pull.body) != (title, body):
        pull.edit(title=title, body=body)


def _texts(forge: Forge, change: Change, *, base_sha: str, head_sha: str) -> tuple[str | None, str | None]:
    before = forge.read(change.path, sha=base_sha) if change.old_mode is not None else None
    after = forge.read(change.path, sha=head_sha) if change.new_mode is not None else None
    return before, after
