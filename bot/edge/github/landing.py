"""Landing: merge exactly what was measured, or nothing.

The merge commit is made first, with the measured tree and the verdict's base and head as its parents; main is then
moved to it by a fast-forward, which the forge refuses when main is no longer that base. So neither a push to main nor
one to the branch can slip an unmeasured line in, at whatever instant it comes. Where main is protected against direct
updates the pull request is merged the ordinary way, which the forge guards by the head only, and the tree that came of
it is compared with the measured one. Where no merge commit may be, by a rule of the branch or the repository's setting,
the forge squashes the pull request with our message; the tree is compared all the same.
"""

from dataclasses import dataclass

from github.GithubException import GithubException, RateLimitExceededException
from github.GitRef import GitRef
from github.PullRequest import PullRequest
from github.Repository import Repository

from bot.core.model import Verdict
from bot.core.words.refusal import wants_linear_history
from bot.edge.github import drafts
from bot.edge.github.forge import Forge, refusal

MERGE, SQUASH = "merge", "squash"  # the forge's words


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """What came of it: `merge_sha` when merged; `moved` when it must be measured again; `refused` when a person has to
    act. `merge_sha` and `refused` together mean that something other than the measured tree is on main."""

    merge_sha: str = ""
    moved: str = ""
    refused: str = ""


def land(forge: Forge, verdict: Verdict, *, number: int, ours: bool, message: str, when_utc: str) -> Landing:
    """Merge pull request `number` as `verdict` has it. Asked again after a kill, it finds its own merge.

    A draft is marked merged when main is moved to it, and cannot be merged the ordinary way. So `ours` is made ready
    first; a person's stays what it is.
    """
    repo = forge.repo
    main = forge.default_branch
    head = repo.get_git_commit(verdict.head_sha)
    if head.tree.sha != verdict.tree_sha:
        return Landing(moved="the branch does not hold the tree that was measured")
    parents = [repo.get_git_commit(verdict.base_sha), head]
    merge = forge.commit_tree(verdict.tree_sha, parents=parents, message=message, when_utc=when_utc)
    pull = repo.get_pull(number)
    if pull.merged:
        return _merged_already(forge, pull, verdict)
    if pull.head.sha != verdict.head_sha:
        return Landing(moved="someone pushed to the branch while it was measured")
    ref = repo.get_git_ref(f"heads/{main}")
    if ref.object.sha == merge.sha:
        return Landing(merge_sha=merge.sha)
    if ref.object.sha != verdict.base_sha:
        if forge.contains(ref.object.sha, merge.sha):  # ours went in, and somebody pushed since
            return Landing(merge_sha=merge.sha)
        return Landing(moved=f"{main} moved while this was measured")
    if ours:
        drafts.make_ready(pull)
    # Asked anew: `forge.repo` remembers the settings of when it was read, and somebody may have changed them since.
    if Repository(forge.wire, url=repo.url).allow_merge_commit is False:
        return _merge_by_the_forge(forge, pull, verdict, message, method=SQUASH)
    return _move_main(forge, ref, pull, verdict, merge_sha=merge.sha, message=message)


def _move_main(
    forge: Forge, ref: GitRef, pull: PullRequest, verdict: Verdict, *, merge_sha: str, message: str
) -> Landing:
    try:
        ref.edit(merge_sha, force=False)
    except RateLimitExceededException:  # has status 403 too, and is no refusal: the step is tried again
        raise
    except GithubException as error:
        if error.status not in (403, 409, 422):
            raise
        main = forge.default_branch
        if forge.repo.get_git_ref(f"heads/{main}").object.sha != verdict.base_sha:
            return Landing(moved=f"{main} moved while this was being merged")
        return _merge_by_the_forge(forge, pull, verdict, message, method=MERGE)
    return Landing(merge_sha=merge_sha)


def _merge_by_the_forge(forge: Forge, pull: PullRequest, verdict: Verdict, message: str, *, method: str) -> Landing:
    title, _, rest = message.partition("\n\n")
    try:
        pull.merge(sha=verdict.head_sha, merge_method=method, commit_title=title, commit_message=rest)
    except RateLimitExceededException:
        raise
    except GithubException as error:
        if error.status == 409:
            return Landing(moved="someone pushed to the branch while it was being merged")
        if error.status == 405 and "modified" in refusal(error):
            return Landing(moved=f"{forge.default_branch} moved while this was being merged")
        if error.status in (403, 405, 422) and method == MERGE and wants_linear_history(refusal(error)):
            return _merge_by_the_forge(forge, pull, verdict, message, method=SQUASH)
        if error.status in (403, 405, 422):
            return Landing(refused=refusal(error))
        raise
    return _merged_already(forge, forge.repo.get_pull(pull.number), verdict)


def _merged_already(forge: Forge, pull: PullRequest, verdict: Verdict) -> Landing:
    """A merge that the forge or a person made: is its tree the measured one?"""
    merge = forge.repo.get_git_commit(pull.merge_commit_sha)
    if merge.tree.sha == verdict.tree_sha:
        return Landing(merge_sha=merge.sha)
    return Landing(
        merge_sha=merge.sha, refused=f"{merge.sha[:10]} is merged, but its tree is not the one that was measured"
    )
