"""What is said on issues and pull requests, and their labels. To the forge a pull request is an issue too.

PyGithub's own methods would read the whole issue before each of these calls.
"""

from urllib.parse import quote

from github.GithubException import UnknownObjectException
from github.IssueComment import IssueComment
from github.Label import Label
from github.PaginatedList import PaginatedList
from github.Repository import Repository

from bot.edge.github.wire import Wire


class Threads:
    """Of one repository."""

    login: str
    wire: Wire
    repo: Repository

    def comment(self, number: int, *, marker: str, body: str) -> None:
        """Our one comment that begins with this hidden marker: written, or edited in place."""
        url = f"{self.repo.url}/issues/{number}/comments"
        for comment in PaginatedList(IssueComment, self.wire, url, None):
            if comment.body.startswith(marker) and comment.user.login == self.login:
                if comment.body != body:
                    comment.edit(body)
                return
        self.wire.requestJsonAndCheck("POST", url, input={"body": body})

    def react(self, number: int, comment_id: int | None, reaction: str) -> None:
        """React to a comment, or to the issue itself. The forge keeps one reaction of a kind per person."""
        place = f"{number}" if comment_id is None else f"comments/{comment_id}"
        self.wire.requestJsonAndCheck("POST", f"{self.repo.url}/issues/{place}/reactions", input={"content": reaction})

    def label(self, number: int, *, prefix: str, name: str, color: str) -> None:
        """Of the labels that begin with `prefix`, leave exactly this one on a pull request."""
        on_it = self._labels_on(number)
        for other in on_it:
            if other.startswith(prefix) and other != name:
                self._take_off(number, other)
        if name not in on_it:
            self._put_on(number, name, color)

    def tag(self, number: int, *, name: str, color: str, on: bool) -> None:
        """Put one label on an issue or pull request, or take it off."""
        has = name in self._labels_on(number)
        if on and not has:
            self._put_on(number, name, color)
        elif has and not on:
            self._take_off(number, name)

    def open_issue_with(self, label: str) -> int | None:
        """The number of an open issue that has this label."""
        for issue in self.repo.get_issues(state="open", labels=[label]):
            return int(issue.number)
        return None

    def open_issue(self, *, title: str, body: str, label: str, color: str) -> None:
        """Open an issue with a label, unless one with that label is open."""
        if self.open_issue_with(label) is None:
            self._ensure_label(label, color)
            self.repo.create_issue(title=title, body=body, labels=[label])

    def _labels_on(self, number: int) -> list[str]:
        return [label.name for label in PaginatedList(Label, self.wire, self._labels_url(number), None)]

    def _put_on(self, number: int, name: str, color: str) -> None:
        self._ensure_label(name, color)
        self.wire.requestJsonAndCheck("POST", self._labels_url(number), input={"labels": [name]})

    def _take_off(self, number: int, name: str) -> None:
        try:
            self.wire.requestJsonAndCheck("DELETE", f"{self._labels_url(number)}/{quote(name, safe='')}")
        except UnknownObjectException:  # a person was faster
            return

    def _labels_url(self, number: int) -> str:
        return f"{self.repo.url}/issues/{number}/labels"

    def _ensure_label(self, name: str, color: str) -> None:
        try:
            self.repo.get_label(name)
        except UnknownObjectException:
            self.repo.create_label(name, color)
