"""The tutorial: every block runs, every quote is the source, and both languages show the same code.

Four kinds of fences are known:

    python                                executed, in order, in one namespace a chapter
    python source=numlp.layers:Dense      a quotation: consecutive lines of that object's source, common indent removed
    text                                  directly after an executed block: exactly what it prints
    console                               shown only
"""

import ast
import contextlib
import importlib
import inspect
import io
import re
import textwrap
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import numlp as nl

SOURCES = Path(nl.__file__).parents[1]
TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial"
LANGUAGES = ("en", "zh-CN")
NAMES = [
    "01-data.md",
    "02-dense-layer.md",
    "03-relu.md",
    "04-cross-entropy.md",
    "05-softmax.md",
    "06-the-model.md",
    "07-training.md",
    "08-the-whole.md",
]
CHAPTERS = [f"{language}/{name}" for language in LANGUAGES for name in NAMES]
PAGES = ["README.md", *CHAPTERS]

FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MATH = re.compile(r"(\$\$?)(.+?)\1", re.DOTALL)
# a chapter may call these without showing what they print: their layout is not promised
UNSHOWN = ("explain_step",)


class Block(NamedTuple):
    """One fence: its info string, its text, the line it begins on, and whether only blank lines precede it."""

    info: str
    text: str
    line: int
    follows: bool


def read(page: str) -> str:
    return (TUTORIAL / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    text, found, end = read(page), [], 0
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        follows = bool(found) and not text[end : match.start()].strip()
        found.append(Block(match[1].strip(), match[2], line, follows))
        end = match.end()
    return found


def prose(page: str) -> str:
    """The page with fences and inline code blanked, so that what is left is words and formulas."""
    text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), read(page))
    return re.sub(r"`[^`\n]*`", "`code`", text)


def stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def quoted_object(info: str) -> object:
    module, _, name = info.removeprefix("python source=").partition(":")
    return reduce(getattr, name.split("."), importlib.import_module(module))


def test_both_languages_have_the_eight_chapters():
    for language in LANGUAGES:
        assert sorted(path.name for path in (TUTORIAL / language).iterdir()) == NAMES


@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_runs_and_prints_what_it_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "chapter"}
    found = blocks(page)
    with np.printoptions():
        for i, block in enumerate(found):
            if block.info != "python":
                continue
            # leading newlines make a traceback name the line of the page
            code = compile("\n" * block.line + block.text, str(TUTORIAL / page), "exec")
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(code, namespace)
            shown = found[i + 1] if i + 1 < len(found) else None
            if shown is not None and shown.info == "text" and shown.follows:
                assert stripped(out.getvalue()) == stripped(shown.text), f"{page}:{shown.line}: prints something else"
            elif not any(name in block.text for name in UNSHOWN):
                assert not out.getvalue(), f"{page}:{block.line}: prints what the page does not show"


@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_has_no_unknown_or_stray_fence(page):
    before = None
    for block in blocks(page):
        assert re.fullmatch(r"python( source=[\w.]+:[\w.]+)?|text|console", block.info), f"{page}:{block.line}: {block.info}"
        if block.info == "text":
            assert block.follows and before == "python", f"{page}:{block.line}: no executed block above it"
        before = block.info
    assert read(page).count("```") == 2 * len(blocks(page)), f"{page}: a fence is not closed"


@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_quotes_the_source(page):
    quotes = [block for block in blocks(page) if "source=" in block.info]
    assert quotes, f"{page} quotes nothing"
    for block in quotes:
        source = inspect.getsource(quoted_object(block.info)).splitlines()
        quote = stripped(textwrap.dedent(block.text))
        excerpts = ["\n".join(source[i : i + len(quote)]) for i in range(len(source))]
        assert quote in [stripped(textwrap.dedent(text)) for text in excerpts], f"{page}:{block.line}: not in the source"


@pytest.mark.parametrize("page", CHAPTERS)
def test_excerpts_say_visibly_that_they_are_not_to_be_run(page):
    lines = read(page).splitlines()
    for block in (block for block in blocks(page) if "source=" in block.info):
        file = Path(inspect.getsourcefile(quoted_object(block.info))).relative_to(SOURCES).as_posix()
        mark = {"en": f"*From `{file}`, not to be run:*", "zh-CN": f"（摘自 `{file}`，无需运行：）"}[page.split("/")[0]]
        assert lines[block.line - 2] == mark, f"{page}:{block.line}: an excerpt without its mark"


@pytest.mark.parametrize("page", CHAPTERS)
def test_bold_words_are_closed_on_their_line(page):
    for number, line in enumerate(prose(page).splitlines(), 1):
        assert line.count("**") % 2 == 0, f"{page}:{number}: bold across a line"


@pytest.mark.parametrize("name", NAMES)
def test_languages_share_headings_and_code(name):
    english, chinese = (f"{language}/{name}" for language in LANGUAGES)
    levels = [re.findall(r"^(#+) ", FENCE.sub("", read(page)), re.MULTILINE) for page in (english, chinese)]
    assert levels[0] == levels[1], "headings differ"
    assert [block.info for block in blocks(english)] == [block.info for block in blocks(chinese)], "fences differ"
    for a, b in zip(blocks(english), blocks(chinese), strict=True):
        if a.info == "python":
            assert skeleton(a.text) == skeleton(b.text), f"{chinese}:{b.line}: code differs from {english}:{a.line}"
        elif a.info != "text":
            assert uncommented(a.text) == uncommented(b.text), f"{chinese}:{b.line}: differs from {english}:{a.line}"


@pytest.mark.parametrize("name", NAMES)
def test_languages_derive_the_same_formulas(name):
    english, chinese = ([m[2] for m in MATH.finditer(prose(f"{language}/{name}")) if m[1] == "$$"] for language in LANGUAGES)
    assert english, f"{name} derives nothing"
    assert english == chinese


def skeleton(code: str) -> str:
    """The syntax tree with the text of every string blanked; comments are not in it anyway."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def uncommented(text: str) -> list[str]:
    return [re.sub(r"\s+#.*$", "", line).rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page)):
        if not re.match(r"[a-z]+:", target):
            assert (TUTORIAL / page).parent.joinpath(target.partition("#")[0]).exists(), f"{page}: {target} does not exist"


def test_readme_links_every_chapter():
    assert set(CHAPTERS) <= set(LINK.findall(read("README.md")))


@pytest.mark.parametrize("page", CHAPTERS)
def test_formulas_survive_github(page):
    """GitHub reads Markdown before mathematics: an escape loses its backslash, a $ inside a word opens nothing."""
    text = prose(page)
    for match in MATH.finditer(text):
        before, after = text[match.start() - 1], text[match.end()]
        assert before.isspace() or (before == "(" and match[1] == "$"), f"{page}: space wanted before {match[0]}"
        assert after.isspace() or not after.isalnum(), f"{page}: space wanted after {match[0]}"
        assert match[1] == "$$" or (match[2].strip() == match[2] and "\n" not in match[2]), f"{page}: {match[0]}"
        assert not re.search(r"\\[^a-zA-Z]|\*|\]\(|<\S", match[2]), f"{page}: Markdown would change {match[0]}"
    assert "$" not in MATH.sub("", text), f"{page}: a formula is not closed"


@pytest.mark.parametrize("page", CHAPTERS)
def test_chapter_is_of_a_length_to_read_in_one_sitting(page):
    assert 120 <= len(read(page).splitlines()) <= 245
