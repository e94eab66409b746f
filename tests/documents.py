"""What pages show, taken apart and run; `python tests/documents.py PAGE ...` writes anew what their blocks print."""

import contextlib
import io
import os
import re
import shlex
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import jax

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^( *)(```+|~~~+) *(\w*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


class Printed(NamedTuple):
    """What a block printed, what is shown below it (None for nothing), and where in the text that stands."""

    output: str
    shown: str | None
    span: tuple[int, int]


def blocks(text, *languages):
    """The fenced blocks of some languages, as `(number of the line above, code)`."""
    return [
        (text[: found.start(4)].count("\n"), textwrap.dedent(found[4]))
        for found in FENCE.finditer(text)
        if found[3].lower() in languages
    ]


def run_python(text, name="README.md"):
    """Run the Python blocks, each of which may build on those before it; tracebacks show the page's lines."""
    namespace = {"__name__": "__main__"}
    fences = list(FENCE.finditer(text))
    printed = []
    for found, after in zip(fences, [*fences[1:], None], strict=True):
        if found[3].lower() not in ("python", "py"):
            continue
        code = "\n" * text[: found.start(4)].count("\n") + textwrap.dedent(found[4])
        output = io.StringIO()
        # As for a reader: without the strict types that this suite sets.
        reading = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
        with reading[0], reading[1], contextlib.redirect_stdout(output):
            exec(compile(code, name, "exec"), namespace)
        below = after is not None and after[3] == "text" and not text[found.end() : after.start()].strip()
        shown = (textwrap.dedent(after[4]), after.span(4)) if below else (None, (0, 0))
        printed.append(Printed(output.getvalue(), *shown))
    return printed


def alike(shown, output):
    """Whether a page shows what was printed: numbers with a point to a unit in their last digit, all else exactly."""
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (shown, output)]
    numbers = [NUMBER.findall(text) for text in (shown, output)]
    if words[0] != words[1] or len(numbers[0]) != len(numbers[1]):
        return False
    return all(_close(*pair) for pair in zip(*numbers, strict=True))


def _close(shown, output):
    digits, _, exponent = shown.partition("e")
    if "." not in digits:
        return shown == output
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return abs(float(shown) - float(output)) <= 1.01 * unit


def commands(text):
    """The lines of the shell blocks, each as a list of words; without prompts, comments and printed output."""
    found = []
    for _, code in blocks(text, "bash", "console", "sh", "shell"):
        lines = code.replace("\\\n", " ").splitlines()
        prompted = [line.strip()[2:] for line in lines if line.strip().startswith("$ ")]
        found += [shlex.split(line, comments=True) for line in prompted or lines]
    return [words for words in found if words]


def stackjax_commands(text):
    """The arguments of the `stackjax` commands in shell blocks and of complete ones in the prose; none with blanks."""
    inline = [shlex.split(line) for line in re.findall(r"`(stackjax [^`\n]+)`", FENCE.sub("", text))]
    complete = [words for words in inline if words[1:] == ["list"] or len(words) > 2]
    named = [words for words in commands(text) if words[0] == "stackjax"]
    return [words[1:] for words in [*named, *complete] if not any(map(_is_blank, words))]


def _is_blank(word):
    """Whether the reader puts something of their own in its place."""
    return word.isupper() or "$" in word or word == "study.toml"


def unknown_targets(text, makefile):
    """The targets that a text names in code and the Makefile doesn't have."""
    known = set(re.findall(r"^([A-Za-z][\w-]*) *:(?!=)", makefile, re.MULTILINE))
    lines = [" ".join(words) for words in commands(text)] + re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    named = [word for line in lines for words in re.findall(r"\bmake((?: +[\w=.-]+)+)", line) for word in words.split()]
    return sorted({word for word in named if "=" not in word and not word.startswith("-")} - known)


def sections(text):
    """The anchors of a text's headings."""
    titles = re.findall(r"^#+ +(.*?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def targets(text):
    """What a text links to or shows."""
    prose = FENCE.sub("", text)
    found = re.findall(r"\]\(\s*<?([^)\s>]+)", prose) + re.findall(r"""\b(?:src|href)=["']([^"']+)""", prose)
    return found + re.findall(r"^ *\[[^\]]+\]: *<?([^\s>]+)", prose, re.MULTILINE)


def broken_links(text, folder):
    """The files, and sections of pages, that a text in a folder links to or shows, and that aren't there."""
    missing = []
    for target in targets(text):
        path, _, section = target.partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        there = (folder / path).exists()
        if there and section:
            within = text if not path else (folder / path).read_text()
            there = section in sections(within)
        if not there:
            missing.append(target)
    return missing


def missing_modules(text, root):
    """The modules of this repository that a text runs by `python -m`, and that aren't there."""
    named = set(re.findall(r"python3? -m ((?:stackjax|benchmarks)[\w.]*)", text))
    paths = {name: root / name.replace(".", "/") for name in named}
    return sorted(
        name
        for name, path in paths.items()
        if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists()
    )


def write_anew(page):
    """Replace what a page shows by what its blocks print now."""
    text = page.read_text()
    for output, shown, (begin, end) in reversed(run_python(text, page.name)):
        if shown is not None and not alike(shown, output):
            text = text[:begin] + output.rstrip() + "\n" + text[end:]
    page.write_text(text)


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "100")
    for name in sys.argv[1:]:
        write_anew(Path(name))
