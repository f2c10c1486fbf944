"""A person's own pull request, as a proposal that somebody else made."""

from dataclasses import dataclass

from bot.edge.github.contents import Commit
from bot.edge.github.forge import Forge

MAX_DIFF_CHARACTERS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """All text is untrusted."""

    title: str
    body: str
    author: str
    branch: str
    from_fork: bool
    open: bool
    head: Commit
    base: Commit  # the newest commit of the default branch that the head is built on
    into: str  # the branch that it is to be merged into
    diff: str  # cut at a whole line


def submission(forge: Forge, *, number: int) -> Submission:
    pull = forge.repo.get_pull(number)
    head, base = pull.head.sha, forge.merge_base(pull.head.sha)
    return Submission(
        title=pull.title,
        body=pull.body or "",
        author=pull.user.login if pull.user else "ghost",
        branch=pull.head.ref,
        from_fork=pull.head.repo is None or pull.head.repo.full_name != pull.base.repo.full_name,
        open=pull.state == "open",
        head=Commit(sha=head, tree_sha=forge.tree_sha(head)),
        base=base,
        into=pull.base.ref,
        diff=_diff(forge, base_sha=base.sha, head_sha=head),
    )


def _diff(forge: Forge, *, base_sha: str, head_sha: str) -> str:
    parts = [
        f"--- a/{file.filename}\n+++ b/{file.filename}\n{file.patch}\n"
        for file in forge.repo.compare(base_sha, head_sha).files
        if file.patch
    ]
    text = "".join(parts)
    if len(text) <= MAX_DIFF_CHARACTERS:
        return text
    return text[: text.rindex("\n", 0, MAX_DIFF_CHARACTERS) + 1] + "(cut)\n"
