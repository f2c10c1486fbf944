"""A proposal being written: what each tool answers, what it does to the draft, and what may be handed in.

Whatever the model was talked into, an edit goes through the same scope check as everybody's, here, again when the pull
request is opened, and again before it is measured.
"""

import ast
import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bot.core.model import Edit, Kind, Plan, PlanStep, Proposal
from bot.core.proposal import tools
from bot.core.proposal.desk import Desk, Missing
from bot.core.proposal.fence import fence
from bot.core.proposal.hunks import hunks
from bot.core.proposal.likeness import earlier_attempt
from bot.core.proposal.smoke import Smoke, drafted, found
from bot.core.scope import EditProblem, apply_edits
from bot.core.text import line, printable
from runner.protocol import allowed

MAX_LINES = 300  # changed by one idea


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool says, and the draft after it. `proposal`, `plan` or `declined` ends the conversation.

    `needs_smoke`: it can say something only when the draft, as it is, has had its smoke run.
    """

    text: str
    edits: tuple[Edit, ...]
    is_error: bool = False
    proposal: Proposal | None = None
    plan: Plan | None = None
    declined: str = ""
    needs_smoke: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The edits so far, who writes them, and what is known of them.

    `start` are the edits that are in the pull request already, if there is one; from them the draft may differ by at
    most `leeway` lines, where that is not 0.
    """

    desk: Desk
    edits: tuple[Edit, ...] = ()
    author: str = ""
    strategy: str = ""
    smokes: Sequence[Smoke] = ()
    most_smokes: int = 0
    start: tuple[Edit, ...] = ()
    leeway: int = 0
    splittable: bool = False  # a person asked for an idea, and nothing is open yet

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
            case tools.CheckDraft() | tools.RunDraft():
                return self._check(run=isinstance(wanted, tools.RunDraft))
            case tools.Submit():
                return self._submit(wanted)
            case tools.SubmitPlan() | tools.Decline():
                return self._end_without_draft(wanted)

    def after(self) -> Mapping[str, str]:
        """The changed files; empty when nothing changed."""
        after = apply_edits(self._before(), self.edits)
        return {} if isinstance(after, EditProblem) else after

    def diff(self) -> str:
        return _diff({path: self._base(path) for path in self.after()}, self.after())

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
        changed = _changed_lines(self.diff())
        if changed > MAX_LINES:
            return f"{changed} lines are changed: one idea takes at most {MAX_LINES}, so split it and submit one part"
        if problem := self._start_problem():
            return problem
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
        smoke = found(self.smokes, drafted(self.after()))
        if smoke is None and len(self.smokes) < self.most_smokes:
            return self._wait()
        if smoke is not None and not smoke.works:
            return self._refuse(smoke.said)
        proposal = Proposal(
            title=line(wanted.title, 72),
            hypothesis=printable(wanted.hypothesis),
            edits=self.hunks(),
            kind=kind,
            expected_gain=wanted.expected_gain,
            proposed_by=self.author,
            risk=printable(wanted.risk),
            mechanism=printable(wanted.mechanism),
            expected_low=wanted.expected_low,
            expected_high=wanted.expected_high,
            strategy=self.strategy,
        )
        return Answer(text="Submitted.", edits=self.edits, proposal=proposal)

    def _end_without_draft(self, wanted: tools.SubmitPlan | tools.Decline) -> Answer:
        if isinstance(wanted, tools.Decline):
            return Answer(text="Noted.", edits=self.edits, declined=line(wanted.reason, 400))
        if not self.splittable:
            return self._refuse("a plan is for an idea that a person asked for: submit one proposal, or decline")
        steps = tuple(PlanStep(title=line(one.title, 72), idea=printable(one.idea)) for one in wanted.steps)
        plan = Plan(reason=line(wanted.reason, 400), steps=steps)
        return Answer(text="Submitted.", edits=self.edits, plan=plan)

    def _check(self, *, run: bool) -> Answer:
        if problem := self.problem():
            return self._refuse(problem)
        return self._run() if run else self._say("Nothing speaks against this draft.")

    def _run(self) -> Answer:
        smoke = found(self.smokes, drafted(self.after()))
        if smoke is not None:
            return self._say(smoke.said) if smoke.works else self._refuse(smoke.said)
        if len(self.smokes) >= self.most_smokes:
            return self._refuse("there is no smoke run left: read the draft once more, then submit or decline")
        return self._wait()

    def _wait(self) -> Answer:
        return Answer(text="", edits=self.edits, needs_smoke=True)

    def _start_problem(self) -> str:
        """Why this is no follow-up to what is in the pull request; empty where there is none yet, or when it is."""
        if not self.start:
            return ""
        before, after = replace(self, edits=self.start).after(), self.after()
        if before == after:
            return "this is what is in the pull request already: change something, or decline"
        paths = {*before, *after}
        texts = ({path: files.get(path, self._base(path)) for path in paths} for files in (before, after))
        changed = _changed_lines(_diff(*texts))
        if self.leeway and changed > self.leeway:
            return f"{changed} lines differ from the pull request: a repair takes at most {self.leeway}, so change less"
        return ""

    def _base(self, path: str) -> str:
        return self.desk.files.get(path, "") if path in self.desk.tree else ""

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
        new = _imports(tree) - self._importable() - _imported(self._base(path))
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


def _diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    lines: list[str] = []
    for path, text in sorted(after.items()):
        old = before[path].splitlines()
        lines += difflib.unified_diff(old, text.splitlines(), f"a/{path}", f"b/{path}", lineterm="")
    return "\n".join(lines)


def _changed_lines(diff: str) -> int:
    return sum(text[:1] in "+-" and text[:3] not in ("+++", "---") for text in diff.splitlines())


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
