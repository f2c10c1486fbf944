"""The bot's check run on a commit, or the status that stands in for it."""

from collections import OrderedDict

from github.CheckRun import CheckRun
from github.GithubException import GithubException, RateLimitExceededException
from github.Repository import Repository

from bot.edge.github import statuses

CHECKS_KNOWN = 200


class Checks:
    """Of one repository."""

    repo: Repository

    def __init__(self) -> None:
        self._may_check = True  # until the forge says otherwise
        self._checks: OrderedDict[tuple[str, str], CheckRun] = OrderedDict()  # by commit and external id

    def check(
        self, *, head_sha: str, external_id: str, conclusion: str | None, title: str, summary: str, text: str
    ) -> None:
        """Our one check run on a commit; `conclusion` None while it is in progress. A status where we may not make one:
        only Apps may."""
        if self._may_check:
            try:
                self._check(head_sha, external_id, conclusion, title, summary, text)
                return
            except GithubException as error:
                if error.status != 403 or isinstance(error, RateLimitExceededException):
                    raise
                self._may_check = False
        statuses.post(self.repo, head_sha=head_sha, conclusion=conclusion, title=title)

    def _check(
        self, head_sha: str, external_id: str, conclusion: str | None, title: str, summary: str, text: str
    ) -> None:
        output: dict[str, str | list[dict[str, str | int]]] = {"title": title, "summary": summary, "text": text}
        status = "in_progress" if conclusion is None else "completed"
        mine = self._find_check(head_sha, external_id)
        if mine is None:
            mine = self.repo.create_check_run(
                "nightlab", head_sha, external_id=external_id, status="in_progress", output=output
            )
            self._know(head_sha, mine)
            if conclusion is None:
                return
        if conclusion is None:
            mine.edit(status=status, output=output)
        else:
            mine.edit(status=status, conclusion=conclusion, output=output)

    def _find_check(self, head_sha: str, external_id: str) -> CheckRun | None:
        """Check runs cannot be deleted, so one that was found once need not be looked for again."""
        if (head_sha, external_id) not in self._checks:
            for check in self.repo.get_commit(head_sha).get_check_runs(check_name="nightlab"):
                if check.external_id == external_id:
                    self._know(head_sha, check)
        return self._checks.get((head_sha, external_id))

    def _know(self, head_sha: str, check: CheckRun) -> None:
        self._checks[head_sha, check.external_id] = check
        while len(self._checks) > CHECKS_KNOWN:
            self._checks.popitem(last=False)
