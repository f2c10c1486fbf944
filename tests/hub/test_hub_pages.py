"""The pages: what they show, and that nobody can put a script on them."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests
from hub_world import World, furnish, propose
from hypothesis import given
from hypothesis import strategies as st

from bot.hub import Hub
from bot.hub.pages.markdown import render_markdown
from bot.hub.pages.mermaid import parse_xychart, render_svg

ALLOWED = {
    "a", "blockquote", "br", "circle", "code", "del", "details", "em", "figure", "h1", "h2", "h3", "h4", "h5", "h6",
    "hr", "input", "ins", "kbd", "li", "line", "ol", "p", "polyline", "pre", "s", "span", "strong", "sub", "summary",
    "sup", "svg", "table", "tbody", "td", "text", "th", "thead", "tr", "ul",
}  # fmt: skip


class Tags(HTMLParser):
    """Every tag and attribute a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def assert_harmless(html: str) -> None:
    for tag, attributes in Tags(html).tags:
        assert tag in ALLOWED, tag
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("style", "src", "srcset", "action", "formaction", "id")
            if name == "href":
                assert re.match(r"(?i)(https?:|mailto:|[^:]*$|[/#?])", value or ""), value


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](java&Tab;script:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "<javascript:alert(1)>",
    "![x](javascript:alert(1))",
    "![x](https://tracker.example/pixel.png)",
    '[x](https://e.example "onmouseover=alert(1) ")',
    '[x](https://e.example/"onmouseover="alert(1))',
    "<details open onclick=alert(1)>",
    "<sub onclick=alert(1)>x</sub>",
    "<svg/onload=alert(1)>",
    "<!-- --><script>alert(1)</script>",
    "<!--> <script>alert(1)</script> -->",
    "<!--\n\n--!><script>alert(1)</script>",
    "<details><summary></summary></details></div></article></main><script>alert(1)</script>",
    "```mermaid\nxychart-beta\ntitle \"</text><script>alert(1)</script>\"\nline [1, 2]\n```",
    '```mermaid\n%%{init: {"plotColorPalette": "#fff\\" onload=alert(1)"}}%%\nxychart-beta\nline [1, 2]\n```',
    "```diff\n+<script>alert(1)</script>\n```",
    "``` \"><script>alert(1)</script>\nx\n```",
    "| a |\n|---|\n| <script>alert(1)</script> |",
    "- [x] <script>alert(1)</script>",
    "<br/onload=x><hr onclick=y>",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_come_out_as_text(attack: str) -> None:
    assert_harmless(str(render_markdown(attack)))


PIECES = st.sampled_from(
    [*ATTACKS, "<details>", "</details>", "<sub>", "</sub>", "\n\n", "- ", "> ", "`", "<!--", "-->", "|", "x"]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=12).map("".join))
def test_no_mixture_of_attacks_gets_through(text: str) -> None:
    assert_harmless(str(render_markdown(text)))


def test_markdown_that_the_bot_writes() -> None:
    source = (
        "<!-- nightlab:experiment:7 -->\n**bold** ~~gone~~\n\n| a | b |\n|--:|---|\n| 1 | <sub>2</sub> |\n\n"
        "<details><summary>More</summary>\n\n- [x] done\n- [ ] open\n\n</details>\n\nafter"
    )
    html = str(render_markdown(source))
    assert "nightlab" not in html
    assert '<th class="right">a</th>' in html
    assert "<td><sub>2</sub></td>" in html
    assert "<details><summary>More</summary>" in html
    assert '<li class="task"><input type="checkbox" disabled checked> done</li>' in html
    assert html.count("<details>") == html.count("</details>") == 1
    assert str(render_markdown("<details><summary>open")).endswith("</summary></details>")


def test_charts_are_drawn_or_shown_as_text() -> None:
    source = 'xychart-beta\n  title "val_bpb"\n  x-axis [a, "b, c"]\n  y-axis "bpb" 0.9 --> 1.1\n  line [1.0, 0.95]\n'
    chart = parse_xychart(source)
    assert chart is not None
    assert (chart.title, chart.x_labels, chart.y_range, chart.lines) == (
        "val_bpb",
        ("a", "b, c"),
        (0.9, 1.1),
        ((1.0, 0.95),),
    )
    assert 'points="64.0,144.0 624.0,198.0"' in render_svg(chart)
    assert "<svg" in str(render_markdown(f"```mermaid\n{source}```"))
    for other in ("graph TD\nA-->B", "xychart-beta\nbar [1]", "xychart-beta\nline [1, x]", "xychart-beta\nline []",
                  "xychart-beta\nline [1e999]", "xychart-beta\ny-axis 2 --> 1\nline [1]"):  # fmt: skip
        assert parse_xychart(other) is None
        assert "<svg" not in str(render_markdown(f"```mermaid\n{other}\n```"))


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50))
def test_any_line_can_be_drawn(values: list[float]) -> None:
    chart = parse_xychart(f"xychart-beta\nline [{', '.join(f'{value:.6g}' for value in values)}]")
    assert chart is not None
    assert "nan" not in render_svg(chart)


@pytest.fixture
def visited(tmp_path: Path, folder: Path) -> Iterator[World]:
    with Hub(tmp_path / "visited", visitor="ada") as hub:
        yield furnish(hub, folder)


def get(world: World, path: str, *, status: int = 200) -> str:
    answer = requests.get(world.hub.base_url + path, timeout=10)
    assert answer.status_code == status, answer.text[:500]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    return answer.text


def test_every_page_shows_what_it_is_about(visited: World) -> None:
    world, repo = visited, visited.repo
    sha = propose(repo, "exp/1", "train.py", "LR = 0.7\n")
    pull = repo.create_pull(base="main", head="exp/1", title="Raise <it>", body="**Why**\n\n<script>x</script>")
    pull.add_to_labels("experiment")
    world.repo_as("grace").get_issue(1).create_comment("Nice <b>work</b>").create_reaction("eyes")
    run = repo.create_check_run("nightlab", sha, status="in_progress", output={"title": "Run 2 of 8", "summary": "*x*"})
    issue = repo.create_issue("Idea", body="text")
    assert "ada/model" in get(world, "/")
    front = get(world, "/ada/model")
    assert "<h1>Model</h1>" in front
    assert "Initial commit" in front
    assert "LR = 0.6" in get(world, "/ada/model/blob/main/train.py")
    assert "data.py" in get(world, "/ada/model/tree/exp/1/src")
    assert "Change train.py" in get(world, "/ada/model/commits/exp/1")
    assert '<span class="add">+LR = 0.7</span>' in get(world, f"/ada/model/commit/{sha}")
    page = get(world, "/ada/model/pull/1")
    for part in ("Raise &lt;it&gt;", "<strong>Why</strong>", "&lt;script&gt;", "experiment", "Run 2 of 8", "eyes 1",
                 '<span class="del">-LR = 0.6</span>', "just now",
                 'http-equiv="refresh"', "Nice &lt;b&gt;work"):  # fmt: skip
        assert part in page, part
    assert "<script" not in page
    assert 'http-equiv="refresh"' not in get(world, "/ada/model/pull/1?comment")  # never while somebody writes
    run.edit(conclusion="success", output={"title": "Merged", "summary": "s"})
    assert 'http-equiv="refresh"' not in get(world, "/ada/model/pull/1")
    assert "<em>" not in get(world, f"/ada/model/runs/{run.id}")
    assert "Raise &lt;it&gt;" in get(world, "/ada/model/pulls")
    assert "Idea" in get(world, "/ada/model/issues")
    assert "text" in get(world, f"/ada/model/issues/{issue.number}")
    pull.merge(sha=sha)
    assert "Merged" in get(world, "/ada/model/pulls?state=closed")
    for missing in ("/ada/other", "/ada/model/pull/99", "/ada/model/blob/main/none", "/ada/model/commit/zz", "/nobody"):
        assert requests.get(world.hub.base_url + missing, timeout=10).status_code == 404
    raw = requests.get(f"{world.hub.base_url}/ada/model/raw/main/README.md", timeout=10)
    assert raw.headers["Content-Type"].startswith("text/plain")


def test_private_repositories_are_shown_to_who_may_see_them(visited: World, world: World) -> None:
    for one in (visited, world):
        one.hub.create_repo("ada", "secret", private=True)
    assert "ada/secret" in get(visited, "/")
    assert "ada/secret" not in get(world, "/")
    assert requests.get(f"{world.hub.base_url}/ada/secret", timeout=10).status_code == 404


def test_comments_come_from_our_own_forms_only(visited: World, world: World) -> None:
    visited.repo.create_issue("Idea")
    url = f"{visited.hub.base_url}/ada/model/issues/1"
    for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        refused = requests.post(url, data={"body": "forged"}, headers=origin, timeout=10)
        assert refused.status_code == 403
    own = {"Origin": visited.hub.base_url}
    answer = requests.post(url, data={"body": "/experiment\r\ntry it"}, headers=own, timeout=10, allow_redirects=False)
    assert answer.status_code == 303
    comments = list(visited.repo.get_issue(1).get_comments())
    assert [(c.user.login, c.body) for c in comments] == [("ada", "/experiment\ntry it")]
    form = {"title": "From a browser", "body": "x"}
    requests.post(f"{visited.hub.base_url}/ada/model/issues", data=form, headers=own, timeout=10)
    assert visited.repo.get_issue(2).title == "From a browser"
    world.repo.create_issue("Idea")
    url = f"{world.hub.base_url}/ada/model/issues/1"
    nobody = requests.post(url, data={"body": "x"}, headers={"Origin": world.hub.base_url}, timeout=10)
    assert nobody.status_code == 403
    assert "--visitor" in nobody.text
