"""A proposal being written: what each tool answers, what it does to the draft, and what may be handed in.

Whatever the model was talked into, an edit goes through the
same scope check as everybody's, here, again when the pull request is opened, and again before it is measured.
"""

import ast
import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.core import tools
from bot.core.desk import Desk, Missing
from bot.core.fence import fence
from bot.core.hunks import hunks
from bot.core.likeness import earlier_attempt
from bot.core.model import Edit, Kind, Proposal
from bot.core.scope import EditProblem, apply_edits
from bot.core.text import line, printable
from runner.protocol import allowed

MAX_LINES = 300  # changed by one idea


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool says, and the draft after it. `proposal` or `declined` ends the conversation."""

    text: str
    edits: tuple[Edit, ...]
    is_error: bool = False
    proposal: Proposal | None = None
    declined: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The edits so far, and who writes them."""

    desk: Desk
    edits: tuple[Edit, ...] = ()
    author: str = ""
    strategy: str = ""

    def use(self, name: str, values: object) -> Answer:
        """Run one tool call. Never raises for what a model writes."""
        wanted = tools.parse(name, values)
        if isinstance(wanted, str):
            return self._refuse(wanted)
        if isinstance(wanted, tools.Look):
            try:
                return self._say(replace(self.desk, draft=self.after()).look(wanted))
            except Missing as missing:
                return self._refuse(str(missing))
        match wanted:
            case tools.Replace():
                return self._replace(Edit(path=wanted.path, old=wanted.old, new=wanted.new))
            case tools.ShowDraft():
                return self._say(fence("your draft", self.diff() or "no edits yet"))
            case tools.DiscardDraft():
                return Answer(text="The draft is empty again.", edits=())
            case tools.CheckDraft():
                problem = self.problem()
                return self._refuse(problem) if problem else self._say("The draft can be submitted.")
            case tools.Submit():
                return self._submit(wanted)
            case tools.Decline():
                return Answer(text="Noted.", edits=self.edits, declined=line(wanted.reason, 400))

    def after(self) -> Mapping[str, str]:
        """The changed files; empty when nothing changed."""
        after = apply_edits(self._before(), self.edits)
        return {} if isinstance(after, EditProblem) else after

    def diff(self) -> str:
        lines: list[str] = []
        for path, text in sorted(self.after().items()):
            old = self.desk.files.get(path, "") if path in self.desk.tree else ""
            lines += difflib.unified_diff(old.splitlines(), text.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
        return "\n".join(lines)

    def problem(self) -> str:
        """Why the draft cannot be handed in, in one sentence; empty when it can."""
        after = apply_edits(self._before(), self.edits)
        if isinstance(after, EditProblem):
            return after.message
        if problems := self.desk.scope(self.edits):
            return problems[0]
        for path, text in sorted(after.items()):
            if problem := self._python_problem(path, text):
                return problem
        changed = sum(text[:1] in "+-" and text[:3] not in ("+++", "---") for text in self.diff().splitlines())
        if changed > MAX_LINES:
            return f"{changed} lines are changed: one idea takes at most {MAX_LINES}, so split it and submit one part"
        return earlier_attempt(
            files=self.desk.files, edits=self.hunks(), history=self.desk.history, in_flight=self.desk.in_flight
        )

    def hunks(self) -> tuple[Edit, ...]:
        """The draft as the fewest edits of whole lines, each of which names a text that occurs once."""
        edits: list[Edit] = []
        for path, text in sorted(self.after().items()):
            if path not in self.desk.tree:
                edits.append(Edit(path=path, old="", new=text))
            else:
                edits += hunks(path, self.desk.files[path], text)
        return tuple(edits)

    def _submit(self, wanted: tools.Submit) -> Answer:
        if problem := self.problem():
            return self._refuse(problem)
        if not wanted.expected_low <= wanted.expected_gain <= wanted.expected_high:
            return self._refuse("expected_gain must lie between expected_low and expected_high")
        kind = Kind(wanted.kind)
        if kind is Kind.SIMPLIFY and self._net_lines() >= 0:
            return self._refuse("a simplification removes more lines than it adds: submit it as improve, or cut more")
        proposal = Proposal(
            title=line(wanted.title, 72),
            hypothesis=printable(wanted.hypothesis),
            edits=self.hunks(),
            kind=kind,
            expected_gain=wanted.expected_gain,
            proposed_by=self.author,
            gpu_hint=printable(wanted.risk),
            mechanism=printable(wanted.mechanism),
            expected_low=wanted.expected_low,
            expected_high=wanted.expected_high,
            strategy=self.strategy,
        )
        return Answer(text="Submitted.", edits=self.edits, proposal=proposal)

    def _net_lines(self) -> int:
        after = self.after()
        before = [self.desk.files[path] for path in after if path in self.desk.tree]
        return sum(len(text.splitlines()) for text in after.values()) - sum(len(text.splitlines()) for text in before)

    def _replace(self, edit: Edit) -> Answer:
        if problems := self.desk.scope((edit,)):
            return self._refuse(problems[0])
        tried = replace(self, edits=(*self.edits, edit))
        after = apply_edits(tried._before(), tried.edits)
        if isinstance(after, EditProblem) and after.message.startswith("the edits change nothing"):
            return Answer(text="The draft changes nothing now.", edits=())
        if isinstance(after, EditProblem):
            return self._refuse(after.message)
        return Answer(text=f"Done. The draft is now:\n{fence('your draft', tried.diff())}", edits=tried.edits)

    def _before(self) -> dict[str, str]:
        return {edit.path: self.desk.files[edit.path] for edit in self.edits if edit.path in self.desk.files}

    def _python_problem(self, path: str, text: str) -> str:
        if not path.endswith(".py"):
            return ""
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
            said = error.msg if isinstance(error, SyntaxError) else type(error).__name__
            return f"{path} is not valid Python{where}: {line(said, 120)}"
        old = self.desk.files.get(path, "") if path in self.desk.tree else ""
        new = _imports(tree) - self._importable() - _imported(old)
        return f"{path} imports {sorted(new)[0]}, which the task does not have: use what is there" if new else ""

    def _importable(self) -> set[str]:
        """Top-level names that can be imported: the standard library, the repository's modules, what it imports."""
        known = set(sys.stdlib_module_names)
        for path in {*self.desk.tree, *self.after()}:
            known |= {part.removesuffix(".py") for part in path.split("/")}
        for path in self.desk.tree:
            if path.endswith(".py") and allowed(path, self.desk.allow):
                known |= _imported(self.desk.files.get(path, ""))
        return known

    def _say(self, text: str) -> Answer:
        return Answer(text=text, edits=self.edits)

    def _refuse(self, text: str) -> Answer:
        return Answer(text=text, edits=self.edits, is_error=True)


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def _imported(source: str) -> set[str]:
    try:
        return _imports(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
