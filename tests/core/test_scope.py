"""What a proposal may touch: tricks with paths and modes, one by one and at random; and edits applied to text."""

import posixpath
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.model import Edit
from bot.core.scope import MAX_FILE_CHARACTERS, Change, EditProblem, apply_edits, changes_of, check
from runner.protocol import allowed

ALLOW = ("/train.py", "/model/", "*.txt", "!/model/frozen.py")
PROTECTED = (".github/nightlab.yml", "prepare.py", "docs/program.md")
EVERYTHING = ("*", "**")


def problems(*changes: Change, allow: tuple[str, ...] = EVERYTHING, tree: tuple[str, ...] = ()) -> list[str]:
    return check(changes, allow=allow, protected=PROTECTED, tree=tree)


@pytest.mark.parametrize(
    "change",
    [
        Change(path="train.py"),
        Change(path="model/block.py", lines=2_000),
        Change(path="model/deep/new.py", old_mode=None),
        Change(path="notes.txt", new_mode=None),
        Change(path="train.py", old_mode="100755", new_mode="100755"),
        Change(path="model/b.py", old_path="model/a.py"),
        Change(path="model/größe.py"),
    ],
)
def test_what_a_proposal_may_do(change: Change) -> None:
    assert problems(change, allow=ALLOW, tree=("train.py", "model/block.py", "model/a.py", "notes.txt")) == []


@pytest.mark.parametrize(
    "path",
    ["eval.py", "lib/train.py", "Train.py", "model", "model/frozen.py", "train.py.orig", "train.txt.py"],
)
def test_what_the_contract_does_not_open(path: str) -> None:
    allow = "/train.py, /model/, *.txt, !/model/frozen.py"
    assert problems(Change(path=path), allow=ALLOW) == [
        f"`{path}` is outside what the contract allows ({allow}): leave it as it is"
    ]


@pytest.mark.parametrize(
    "path",
    [
        ".github/nightlab.yml",
        ".github/workflows/ci.yml",
        ".GitHub/x",
        "sub/.github/x",
        ".git/config",
        "a/.GIT/hooks/post-checkout",
        ".gitmodules",
        ".gitattributes",
        "GIT~1/config",
        "Dockerfile",
        "lab/dockerfile.gpu",
        "prepare.py",
        "PREPARE.py",
        "prepare.py/x",
        "docs/program.md",
    ],
)
def test_what_no_pattern_opens(path: str) -> None:
    assert problems(Change(path=path)) == [f"`{path}` is not a proposal's to change: leave it as it is"]


@pytest.mark.parametrize(
    ("path", "shown", "reason"),
    [
        ("", "", "is not a plain path inside the repository: write it from the root, without `.` and `..`"),
        (
            "/etc/passwd",
            "/etc/passwd",
            "is not a plain path inside the repository: write it from the root, without `.` and `..`",
        ),
        ("../x", "../x", "is not a plain path inside the repository: write it from the root, without `.` and `..`"),
        (
            "a/../../x",
            "a/../../x",
            "is not a plain path inside the repository: write it from the root, without `.` and `..`",
        ),
        (
            "./train.py",
            "./train.py",
            "is not a plain path inside the repository: write it from the root, without `.` and `..`",
        ),
        ("a//b", "a//b", "is not a plain path inside the repository: write it from the root, without `.` and `..`"),
        ("a/", "a/", "is not a plain path inside the repository: write it from the root, without `.` and `..`"),
        ("a\\b", "a\\\\b", "holds characters that look like others or like none: use plain ones"),
        ("train.py\n", "train.py\\n", "holds characters that look like others or like none: use plain ones"),
        ("train.py\0", "train.py\\x00", "holds characters that look like others or like none: use plain ones"),
        (
            ".g\u200bit/config",
            ".g\\u200bit/config",
            "holds characters that look like others or like none: use plain ones",
        ),
        ("\uff0egithub/x", "\\uff0egithub/x", "holds characters that look like others or like none: use plain ones"),
        ("gro\u0308sse.py", "gro\\u0308sse.py", "holds characters that look like others or like none: use plain ones"),
        ("a\ud800", "a\\ud800", "holds characters that look like others or like none: use plain ones"),
        ("prepare.py ", "prepare.py ", "means another file on some systems: use plain names"),
        ("prepare.py.", "prepare.py.", "means another file on some systems: use plain names"),
        ("prepare.py::$DATA", "prepare.py::$DATA", "means another file on some systems: use plain names"),
        ("C:/x", "C:/x", "means another file on some systems: use plain names"),
        ("x" * 201, "x" * 79 + "…", "is longer than 200 characters: use a shorter path"),
    ],
)
def test_paths_that_are_not_plain(path: str, shown: str, reason: str) -> None:
    assert problems(Change(path=path)) == [f"`{shown}` {reason}"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Change(path="a", new_mode="120000"), "`a` is a symbolic link: change regular files only"),
        (Change(path="a", old_mode="120000", new_mode=None), "`a` is a symbolic link: change regular files only"),
        (Change(path="a", old_mode=None, new_mode="160000"), "`a` is a submodule: change regular files only"),
        (Change(path="a", new_mode="040000"), "`a` is a folder: change regular files only"),
        (Change(path="a", new_mode="100664"), "`a` is no regular file: change regular files only"),
        (Change(path="a", new_mode="100755"), "`a` changes its mode from 100644 to 100755: leave the mode as it is"),
        (Change(path="a", old_mode=None, new_mode="100755"), "`a` is new and executable: make it a plain file"),
    ],
)
def test_modes(change: Change, reason: str) -> None:
    assert problems(change) == [reason]


def test_both_ends_of_a_rename_must_be_allowed() -> None:
    outside = Change(path="model/eval.py", old_path="eval.py")
    onto = Change(path="prepare.py", old_path="model/a.py")
    assert [problem.split("`")[1] for problem in problems(outside, onto, allow=ALLOW)] == ["eval.py", "prepare.py"]


def test_size_is_bounded() -> None:
    assert problems() == ["nothing is changed: edit at least one file"]
    assert problems(*[Change(path=f"{n}.txt") for n in range(21)]) == ["21 files are changed: touch at most 20"]
    assert problems(Change(path="a", lines=1_000), Change(path="b", lines=1_001)) == [
        "2001 lines are changed: change at most 2000"
    ]


@pytest.mark.parametrize(
    ("changes", "tree", "expected"),
    [
        (
            [Change(path="Train.py", old_mode=None)],
            ("train.py",),
            ["`Train.py` and `train.py` differ only in spelling: use one of them"],
        ),
        (
            [Change(path="SRC/b.py", old_mode=None)],
            ("src/a.py",),
            ["`SRC/b.py` and `src` differ only in spelling: use one of them"],
        ),
        (
            [Change(path="straße.py", old_mode=None)],
            ("STRASSE.py",),
            ["`stra\\xdfe.py` and `STRASSE.py` differ only in spelling: use one of them"],
        ),
        (
            [Change(path="train.py/x", old_mode=None)],
            ("train.py",),
            ["`train.py/x` makes one name both a file and a folder: use another name"],
        ),
        (
            [Change(path="src", old_mode=None)],
            ("src/a.py",),
            ["`src` makes one name both a file and a folder: use another name"],
        ),
        ([Change(path="Train.py", old_path="train.py")], ("train.py",), []),
        ([Change(path="src", old_path="src/a.py")], ("src/a.py",), []),
        ([Change(path="a.py", new_mode=None)], ("a.py", "A.py"), []),
        ([Change(path="train.py")], ("train.py", "x/Y", "X/y"), []),
    ],
)
def test_collisions_with_the_tree(changes: list[Change], tree: tuple[str, ...], expected: list[str]) -> None:
    assert problems(*changes, tree=tree) == expected


def test_edits_become_changes() -> None:
    edits = [
        Edit(path="a", old="", new="1\n2\n"),
        Edit(path="a", old="1\n", new="3\n"),
        Edit(path="b", old="x", new="y"),
    ]
    assert changes_of(edits) == [Change(path="a", old_mode=None, lines=4), Change(path="b", lines=2)]


def test_edits_are_applied_in_order() -> None:
    files = {"a.py": "x = 1\ny = 2\n", "b.py": "z = 3\n"}
    edits = [
        Edit(path="a.py", old="x = 1", new="x = 10"),
        Edit(path="a.py", old="x = 10\n", new=""),
        Edit(path="c.py", old="", new="new\n"),
        Edit(path="c.py", old="new", new="newer"),
    ]
    assert apply_edits(files, edits) == {"a.py": "y = 2\n", "c.py": "newer\n"}
    assert files == {"a.py": "x = 1\ny = 2\n", "b.py": "z = 3\n"}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit(path="a", old="cd", new=""), "`old` is not in `a`: copy it exactly, blanks and line ends included"),
        (Edit(path="a", old="b", new=""), "`old` is in `a` more than once: include lines around it"),
        (Edit(path="a", old="bb", new=""), "`old` is in `a` more than once: include lines around it"),
        (Edit(path="b", old="x", new=""), "`b` does not exist: an edit that makes a new file has an empty `old`"),
        (Edit(path="a", old="", new="x"), "`a` exists already: name the text that the edit replaces"),
        (Edit(path="a", old="a", new="a"), "the edits change nothing: edit at least one file"),
        (Edit(path="a", old="a", new="\0"), "the new text for `a` is not text: leave out NUL and lone surrogates"),
        (Edit(path="a", old="a", new="\udfff"), "the new text for `a` is not text: leave out NUL and lone surrogates"),
        (
            Edit(path="b", old="", new="x" * (MAX_FILE_CHARACTERS + 1)),
            "`b` would be longer than 1000000 characters: make it shorter",
        ),
    ],
)
def test_edits_that_cannot_be_applied(edit: Edit, message: str) -> None:
    assert apply_edits({"a": "abbb\n"}, [edit]) == EditProblem(message=message)


# Parts that attack each other when joined.
parts = st.sampled_from(
    [
        "train.py",
        "model",
        "a.txt",
        ".",
        "..",
        "",
        ".git",
        ".GIT",
        ".github",
        "git~1",
        "prepare.py",
        "Dockerfile",
        "x ",
        "y.",
        "C:",
        "\\",
        "\0",
    ]
) | st.text(max_size=5)
paths = st.lists(parts, max_size=4).map("/".join) | st.text(max_size=12)


@settings(deadline=None, max_examples=400)
@given(paths, st.sampled_from([ALLOW, EVERYTHING, ("train.py",), ("*.txt", "/model/**")]))
def test_an_accepted_path_is_inside_and_allowed(path: str, allow: tuple[str, ...]) -> None:
    if problems(Change(path=path), allow=allow):
        return
    assert posixpath.normpath(path) == path
    assert not path.startswith(("/", ".."))
    assert allowed(path, allow)
    folded = unicodedata.normalize("NFKC", path).casefold()
    assert path.isprintable()
    assert "\\" not in path
    assert not any(part.startswith(".git") for part in folded.split("/"))
    assert folded not in PROTECTED


@settings(deadline=None)
@given(st.lists(paths, max_size=4), st.lists(paths, max_size=4))
def test_any_change_is_answered_in_single_lines(changed: list[str], tree: list[str]) -> None:
    for problem in problems(*[Change(path=path) for path in changed], tree=tuple(tree)):
        assert len(problem.splitlines()) == 1
        assert problem.isprintable()


@settings(deadline=None)
@given(
    st.text(max_size=20),
    st.text("ab\n", max_size=8),
    st.text("abc\n", min_size=1, max_size=4),
    st.text("abc\n", max_size=4),
)
def test_an_edit_replaces_its_one_occurrence(head: str, tail: str, old: str, new: str) -> None:
    text = head + old + tail
    occurrences = sum(text.startswith(old, position) for position in range(len(text)))
    after = apply_edits({"f": text}, [Edit(path="f", old=old, new=new)])
    if occurrences > 1 or old == new:
        assert isinstance(after, EditProblem)
    else:
        assert after == {"f": head + new + tail}


def test_patterns_match_whole_plain_paths_only() -> None:
    for path in ("/train.py", "./train.py", "train.py\n", "model//x", "model/../train.py", "..", "", "model\\x"):
        assert not allowed(path, EVERYTHING)
    assert allowed("lib/train.py", ("train.py",))
    assert not allowed("lib/train.py", ("/train.py",))
