"""GitHub-flavoured markdown as HTML that is safe to show, whoever wrote it.

HTML in the source is text, except a few tags that say nothing but structure (`<details>`, `<sub>`, ...), which are
recognised whole, without attributes, and balanced by us. HTML comments are hidden. Links lead to http(s), mailto
or within the site; images from elsewhere become links. The page's Content-Security-Policy is the second wall.
"""

import html
import re
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

from bot.hub.pages.mermaid import parse_xychart, render_svg

_TAGS = ("details", "summary", "sub", "sup", "kbd", "ins", "del")
_TAG = re.compile(rf"<(/?)({'|'.join(_TAGS)})\s*>|<(br|hr)\s*/?>|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_TASK = re.compile(r"\[([ xX])\] ")


def _validate_link(url: str) -> bool:
    """Only addresses that a click cannot turn against the reader."""
    before_colon, colon, _ = re.split(r"[/?#]", url, maxsplit=1)[0].partition(":")
    return not colon or before_colon.lower() in ("http", "https", "mailto")


class _Renderer(RendererHTML):
    def html_block(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return _allowed(tokens[index].content, env)

    def html_inline(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        return _allowed(tokens[index].content, env)

    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[index]
        language = token.info.strip().split(" ")[0].lower()
        if language == "mermaid":
            chart = parse_xychart(token.content)
            if chart is not None:
                return f'<figure class="chart-box">{render_svg(chart)}</figure>\n'
        if language == "diff":
            return f'<pre class="diff"><code>{_coloured(token.content)}</code></pre>\n'
        return f"<pre><code>{html.escape(token.content)}</code></pre>\n"

    def image(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """A picture from elsewhere would tell its owner who reads this: show a link."""
        token = tokens[index]
        source = html.escape(str(token.attrs.get("src", "")))
        return f'<a href="{source}" rel="nofollow noopener">{html.escape(token.content or source)}</a>'

    def link_open(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        href = html.escape(str(tokens[index].attrs.get("href", "")))
        return f'<a href="{href}" rel="nofollow noopener">'

    def _cell(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        """Alignment as a class, since the page allows no style attributes."""
        token = tokens[index]
        aligned = re.fullmatch(r"text-align:(left|center|right)", str(token.attrs.get("style", "")))
        return f'<{token.tag} class="{aligned[1]}">' if aligned else f"<{token.tag}>"

    th_open = td_open = _cell


def _allowed(source: str, env: EnvType) -> str:
    """Escape everything but the few tags; `env["open"]` remembers what must still be closed."""
    out, position = [], 0
    open_tags: list[str] = env.setdefault("open", [])
    for found in _TAG.finditer(source):
        out.append(html.escape(source[position : found.start()]))
        position = found.end()
        closing, name, void = found[1], (found[2] or "").lower(), found[3]
        if void:
            out.append(f"<{void.lower()}>")
        elif name and not closing:
            open_tags.append(name)
            out.append(f"<{name}>")
        elif name and open_tags and open_tags[-1] == name:
            open_tags.pop()
            out.append(f"</{name}>")
    out.append(html.escape(source[position:]))
    return "".join(out)


def _coloured(text: str) -> str:
    kinds = {"+": "add", "-": "del", "@": "hunk"}
    lines = []
    for line in text.removesuffix("\n").split("\n"):
        kind = kinds.get(line[:1])
        lines.append(f'<span class="{kind}">{html.escape(line)}</span>' if kind else html.escape(line))
    return "\n".join(lines)


def _mark_tasks(state: StateCore) -> None:
    """`- [x]` at the start of a list item is a ticked box that nobody can click."""
    for item, before, token in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if token.type != "inline" or before.type != "paragraph_open" or not token.children:
            continue
        found = _TASK.match(token.content)
        if found is None or item.type != "list_item_open" or token.children[0].type != "text":
            continue
        token.children[0].content = token.children[0].content[found.end() :]
        box = Token("task", "input", 0)
        box.meta = {"done": found[1] != " "}
        token.children.insert(0, box)
        item.attrSet("class", "task")


def _task(self: Any, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    return f'<input type="checkbox" disabled{" checked" if tokens[index].meta["done"] else ""}> '


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False}, renderer_cls=_Renderer)
    parser.enable(["table", "strikethrough"])
    parser.core.ruler.push("tasks", _mark_tasks)
    parser.add_render_rule("task", _task)
    parser.validateLink = _validate_link  # type: ignore[method-assign]  # the library's own way to narrow links
    return parser


_PARSER = _parser()


def render_markdown(source: str) -> Markup:
    """Safe HTML. Tags of ours that the writer left open are closed at the end."""
    env: dict[str, Any] = {}
    body = _PARSER.render(source, env)
    closing = "".join(f"</{name}>" for name in reversed(env.get("open", [])))
    return Markup(body + closing)  # noqa: S704 - made of escaped text and our own tags only


def render_diff(patch: str) -> Markup:
    """A unified diff, one coloured line each."""
    return Markup(_coloured(patch))  # noqa: S704 - every line is escaped
