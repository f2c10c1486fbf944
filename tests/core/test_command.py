"""Comments as people write them, and as hypothesis does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.intake.command import parse
from bot.core.intake.grammar import GRAMMAR, MAX_TEXT_CHARACTERS, Command, CommandError, Thread, Verb


def on_issue(comment: str) -> Command | CommandError | None:
    return parse(comment, thread=Thread.ISSUE, mention="nightlab")


def on_pull(comment: str) -> Command | CommandError | None:
    return parse(comment, thread=Thread.PULL, mention="nightlab")


def told(comment: str, thread: Thread) -> str:
    answer = parse(comment, thread=thread, mention="nightlab")
    assert isinstance(answer, CommandError)
    return answer.message


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("/experiment", Command(verb=Verb.EXPERIMENT)),
        ("/experiment try rotary base 200k", Command(verb=Verb.EXPERIMENT, text="try rotary base 200k")),
        ("Hi!\r\n/Experiment: one\r\n\r\ntwo\r\n", Command(verb=Verb.EXPERIMENT, text="one\n\ntwo")),
        ("@nightlab experiment warm up longer", Command(verb=Verb.EXPERIMENT, text="warm up longer")),
        ("@NightLab[bot]: /experiment x", Command(verb=Verb.EXPERIMENT, text="x")),
        ("/experiment see /usr/share\n/usr/share/dict is\n```\n/resume\n```", None),
        ("/campaign start", Command(verb=Verb.CAMPAIGN_START)),
        ("/campaign start n=50 hours=7.5", Command(verb=Verb.CAMPAIGN_START, experiments=50, hours=7.5)),
        ("/campaign START Hours=8\nthanks", Command(verb=Verb.CAMPAIGN_START, hours=8.0)),
        ("/campaign stop", Command(verb=Verb.CAMPAIGN_STOP)),
        ("/campaign status", Command(verb=Verb.CAMPAIGN_STATUS)),
        ("/help", Command(verb=Verb.HELP)),
    ],
)
def test_commands_on_issues(comment: str, expected: Command | None) -> None:
    if expected is None:  # the idea keeps its code block, and paths in it are no commands
        expected = Command(verb=Verb.EXPERIMENT, text=comment.removeprefix("/experiment "))
    assert on_issue(comment) == expected


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("/resume", Command(verb=Verb.RESUME)),
        ("/rerun", Command(verb=Verb.RERUN)),
        ("/rerun 4", Command(verb=Verb.RERUN, runs=4)),
        ("/rerun n=16", Command(verb=Verb.RERUN, runs=16)),
        ("/merge", Command(verb=Verb.MERGE)),
        ("/merge 0123ABCdef", Command(verb=Verb.MERGE, sha="0123abcdef")),
        ("@nightlab explain", Command(verb=Verb.EXPLAIN)),
        ("/revise use a cosine\ninstead", Command(verb=Verb.REVISE, text="use a cosine\ninstead")),
        ("/hold", Command(verb=Verb.HOLD)),
        ("/hold the paper is due\nuntil Monday", Command(verb=Verb.HOLD, text="the paper is due\nuntil Monday")),
        ("/close superseded by #12", Command(verb=Verb.CLOSE, text="superseded by #12")),
        ("/help", Command(verb=Verb.HELP)),
        ("   /help.", Command(verb=Verb.HELP)),
        ("> why?\n/help", Command(verb=Verb.HELP)),
        ("<details>\n\n/help\n\n</details>", Command(verb=Verb.HELP)),
        ("`code` and <!-- hidden --> words\n/help", Command(verb=Verb.HELP)),
    ],
)
def test_commands_on_pull_requests(comment: str, expected: Command) -> None:
    assert on_pull(comment) == expected


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "please /resume",
        "> /resume",
        ">/resume",
        "- /resume",
        "```\n/resume\n```",
        "~~~ sh\n/resume",
        "- list\n  ```\n  /resume\n  ```",
        "    /resume",
        "\t/resume",
        "shown as text, but hard to tell from code\n    /resume",
        "`\n/resume\n`",
        "some `code\n/resume` there",
        "<!--\n/resume\n-->",
        "text <!--\n/resume\n--> text",
        "<pre>\n/resume\n</pre>",
        '<a title="\n/resume">x</a>',
        "![\n/resume](image.png)",
        "\\/resume",
        "//resume",
        "/resume/logs",
        "/usr/bin/python",
        "/etc",
        "/s",
        "/tmp is full",
        "/ resume",
        "/reſume",  # a long s is no s
        "@nightlab thanks",
        "@nightlabs resume",
        "@someone /resume",
        "nightlab resume",
    ],
)
def test_prose(comment: str) -> None:
    assert on_pull(comment) is None


@pytest.mark.parametrize(
    ("comment", "thread", "message"),
    [
        ("/experimnt x", Thread.ISSUE, "`/experimnt` is not a command: did you mean `/experiment`?"),
        ("/hlod", Thread.PULL, "`/hlod` is not a command: did you mean `/hold`?"),
        ("@nightlab resumen", Thread.PULL, "`/resumen` is not a command: did you mean `/resume`?"),
        ("/resume", Thread.ISSUE, "`/resume` is for comments on pull requests: write it there"),
        ("/experiment x", Thread.PULL, "`/experiment` is for comments on issues: write it there"),
        ("/hold\n/help", Thread.PULL, "there are 2 commands in this comment: write one comment for each"),
        ("/resume 4", Thread.PULL, "`/resume` takes nothing after it: put other words on the next line"),
        ("/help now", Thread.PULL, "`/help` takes nothing after it: put other words on the next line"),
        ("/campaign", Thread.ISSUE, "write `/campaign start`, `/campaign stop` or `/campaign status`"),
        ("/campaign go", Thread.ISSUE, "write `/campaign start`, `/campaign stop` or `/campaign status`"),
        (
            "/campaign stop now",
            Thread.ISSUE,
            "`/campaign stop` takes nothing after it: put other words on the next line",
        ),
    ],
)
def test_errors_say_what_to_write(comment: str, thread: Thread, message: str) -> None:
    assert told(comment, thread) == message


@pytest.mark.parametrize(
    "arguments", ["n=0", "n=1.5", "n=", "hours=0", "hours=721", "hours=nan", "n=2 n=3", "fast", "m=1"]
)
def test_campaign_settings_out_of_range(arguments: str) -> None:
    message = told(f"/campaign start {arguments}", Thread.ISSUE)
    assert message == (
        "write `/campaign start n=20 hours=8 budget=30`: n is 1 to 10000, hours up to 720, budget up to 100000 dollars "
        "for the model"
    )


def test_an_error_names_its_line() -> None:
    answer = on_pull("thanks!\n  /resume many\nplease")
    assert isinstance(answer, CommandError)
    assert answer.line == "/resume many"


def test_text_is_bounded_and_free_of_invisible_characters() -> None:
    hidden = "a\x1b[31mb\u202ec\u200bd\U000e0041e\x00"
    assert on_issue(f"/experiment {hidden}") == Command(verb=Verb.EXPERIMENT, text="a[31mbcde")
    longest = "x" * MAX_TEXT_CHARACTERS
    assert on_issue(f"/experiment {longest}") == Command(verb=Verb.EXPERIMENT, text=longest)
    message = told(f"/experiment {longest}x", Thread.ISSUE)
    assert message == "the text has 4001 characters: shorten it to 4000 or link to the rest"


@pytest.mark.parametrize("line", ["/rerun 0", "/rerun 17", "/rerun two", "/rerun 1 2", "/rerun n="])
def test_how_often_to_rerun_is_said_when_it_is_no_number(line: str) -> None:
    assert told(line, Thread.PULL) == "write `/rerun` or `/rerun 4`: a whole number from 1 to 16"


@pytest.mark.parametrize("line", ["/merge now", "/merge 012345", "/merge 01234567 please"])
def test_a_merge_is_of_a_hash(line: str) -> None:
    assert told(line, Thread.PULL).startswith("write `/merge`, or `/merge` with the first seven or more digits")


def test_who_is_called_by_name_says_what_can_be_asked_for() -> None:
    message = told("@nightlab /dance", Thread.ISSUE)
    assert message == "`dance` is not a command: here you can write `/experiment`, `/campaign`, `/help`"
    assert told("/campaign stat", Thread.ISSUE).startswith("did you mean `/campaign sta")


def test_every_usage_in_the_grammar_is_understood() -> None:
    for rule in GRAMMAR:
        words = rule.usage.split("[")[0].strip()
        for thread in rule.threads:
            found = parse(words, thread=thread, mention="nightlab")
            assert isinstance(found, Command), found
            assert found.verb is rule.verb


pieces = st.sampled_from(
    [rule.usage.split("[")[0].strip() for rule in GRAMMAR]
    + [
        "\n",
        "\n\n",
        " ",
        "    ",
        "\t",
        "```",
        "~~~",
        "`",
        "> ",
        "- ",
        "1. ",
        "<!--",
        "-->",
        "<b>",
        "[",
        "](x)",
        "*",
        "\\",
        "@nightlab ",
    ]
    + ["n=3", "7", "words", "\ue000", "\ue0000\ue000", "\x00", "\r", "\u2028", "&lt;"]
)
comments = st.lists(pieces | st.text(max_size=8), max_size=14).map("".join) | st.text()


@settings(deadline=None)
@given(comments, st.sampled_from(Thread))
def test_any_text_has_an_answer(comment: str, thread: Thread) -> None:
    answer = parse(comment, thread=thread, mention="nightlab")
    if isinstance(answer, Command):
        assert len(answer.text) <= MAX_TEXT_CHARACTERS
        assert answer.text == answer.text.strip()
        assert any(rule.verb is answer.verb and thread in rule.threads for rule in GRAMMAR)
    elif answer:
        assert "\n" not in answer.message


@settings(deadline=None)
@given(comments, st.sampled_from(Thread))
def test_a_quoted_comment_holds_no_command(comment: str, thread: Thread) -> None:
    quoted = "\n".join(f"> {line}" for line in comment.replace("\r", "\n").split("\n"))
    assert parse(quoted, thread=thread, mention="nightlab") is None


@settings(deadline=None)
@given(comments, st.sampled_from(Thread), st.sampled_from("`~"))
def test_a_fenced_comment_holds_no_command(comment: str, thread: Thread, fence: str) -> None:
    fence *= max(3, 1 + comment.count(fence))
    assert parse(f"{fence}\n{comment}\n{fence}", thread=thread, mention="nightlab") is None


@settings(deadline=None)
@given(comments, st.sampled_from(Thread))
def test_an_indented_comment_holds_no_command(comment: str, thread: Thread) -> None:
    indented = "\n".join(f"    {line}" for line in comment.replace("\r", "\n").split("\n"))
    assert parse(indented, thread=thread, mention="nightlab") is None


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\r\ue000", exclude_categories=["C"]), max_size=200))
def test_an_idea_of_plain_words_arrives_as_written(idea: str) -> None:
    answer = on_issue(f"/experiment {idea}")
    assert isinstance(answer, Command)
    assert answer.text == idea.strip()
