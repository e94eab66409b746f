"""What the README shows works: its Python, its commands, its make targets and its links."""

import os
import re
import shlex
import textwrap
from pathlib import Path

import jax
import pytest
from click.testing import CliRunner

from stackjax import cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FENCE = re.compile(r"^( *)(```+|~~~+) *(\w*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)


def blocks(text, *languages):
    """The fenced blocks of some languages, as `(number of the line above, code)`."""
    return [
        (text[: found.start(4)].count("\n"), textwrap.dedent(found[4]))
        for found in FENCE.finditer(text)
        if found[3].lower() in languages
    ]


def run_python(text):
    """Run the Python blocks, each of which may build on those before it; tracebacks show the README's lines."""
    namespace = {"__name__": "__main__"}
    for above, code in blocks(text, "python", "py"):
        # As for a reader: without the strict types that this suite sets.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            exec(compile("\n" * above + code, README.name, "exec"), namespace)


def commands(text):
    """The lines of the shell blocks, each as a list of words; without prompts, comments and printed output."""
    found = []
    for _, code in blocks(text, "bash", "console", "sh", "shell"):
        lines = code.replace("\\\n", " ").splitlines()
        prompted = [line.strip()[2:] for line in lines if line.strip().startswith("$ ")]
        found += [shlex.split(line, comments=True) for line in prompted or lines]
    return [words for words in found if words]


def run_commands(text, folder):
    """Run the `stackjax` commands in a folder, comparisons with few and short replicates."""
    for _, *arguments in (words for words in commands(text) if words[0] == "stackjax"):
        small = ["--rounds", "20", "--replicates", "3"] if arguments[:1] == ["compare"] else []
        arguments = [str(ROOT / word) if (ROOT / word).is_file() else word for word in arguments]
        here = os.getcwd()
        os.chdir(folder)
        try:
            result = CliRunner().invoke(cli.main, arguments + small)
        finally:
            os.chdir(here)
        assert result.exit_code == 0, f"stackjax {shlex.join(arguments)}: {result.output or result.exception!r}"


def unknown_targets(text, makefile):
    """The targets that the README names in code and the Makefile doesn't have."""
    known = set(re.findall(r"^([A-Za-z][\w-]*) *:(?!=)", makefile, re.MULTILINE))
    lines = [" ".join(words) for words in commands(text)] + re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    named = [word for line in lines for words in re.findall(r"\bmake((?: +[\w=.-]+)+)", line) for word in words.split()]
    return sorted({word for word in named if "=" not in word and not word.startswith("-")} - known)


def broken_links(text, root):
    """The files that the README links to or shows, and that aren't there; sections of its own included."""
    prose = FENCE.sub("", text)
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", prose) + re.findall(r"""\b(?:src|href)=["']([^"']+)""", prose)
    targets += re.findall(r"^ *\[[^\]]+\]: *<?([^\s>]+)", prose, re.MULTILINE)
    titles = re.findall(r"^#+ +(.*?) *$", prose, re.MULTILINE)
    sections = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    missing = []
    for target in targets:
        path, _, section = target.partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        if not (root / path).exists() if path else section not in sections:
            missing.append(target)
    return missing


def missing_modules(text, root):
    """The modules of this repository that the README runs by `python -m`, and that aren't there."""
    named = set(re.findall(r"python3? -m ((?:stackjax|benchmarks)[\w.]*)", text))
    paths = {name: root / name.replace(".", "/") for name in named}
    return sorted(
        name
        for name, path in paths.items()
        if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists()
    )


@pytest.fixture
def agg(monkeypatch, tmp_path):
    """No windows, and files in a temporary folder."""
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)


def test_its_python_runs(agg):
    text = README.read_text()
    assert len(blocks(text, "python", "py")) > 1
    run_python(text)


def test_its_commands_run(tmp_path):
    text = README.read_text()
    assert any(words[:2] == ["stackjax", "compare"] for words in commands(text))
    run_commands(text, tmp_path)


def test_its_make_targets_exist():
    text = README.read_text()
    assert "make demo" in text and "make test" in text
    assert unknown_targets(text, (ROOT / "Makefile").read_text()) == []


def test_its_links_lead_somewhere():
    text = README.read_text()
    assert broken_links(text, ROOT) == []
    assert missing_modules(text, ROOT) == []


SAMPLE = """
# A title: what, and why

~~~python
unseen = 1
~~~

```python
import os
x = 2  # `make nothing`
```

1. In a list

   ```python
   assert unseen + x == 3 and os.getcwd()
   y = x.missing
   ```

See [this](a.txt), [that](#a-title-what-and-why), [not that](#elsewhere), ![a picture](b/c.png "d"),
[far](https://example.org/nothing), <img src="e.svg">, [a reference][f].

[f]: g.txt#part

```console
$ make one A=b && make two  # make three
$ stackjax compare duoply \\
    --seed 1
Error: make four
```

`make five`, and make sure of `remake`. `python -m stackjax.nothing`, `python -m pytest`.
"""


def test_broken_python_is_found():
    with pytest.raises(AttributeError, match="missing") as caught:
        run_python(SAMPLE)
    last = caught.traceback[-1]
    assert (last.path.name, SAMPLE.splitlines()[last.lineno].strip()) == ("README.md", "y = x.missing")


def test_broken_commands_are_found(tmp_path):
    assert commands(SAMPLE)[1] == ["stackjax", "compare", "duoply", "--seed", "1"]
    with pytest.raises(AssertionError, match="did you mean 'duopoly'"):
        run_commands(SAMPLE, tmp_path)


def test_unknown_targets_are_found():
    makefile = "one two: six\n\techo\nfive := 3\n"
    assert unknown_targets(SAMPLE, makefile.replace("one two", "one")) == ["five", "two"]


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.txt").touch()
    assert broken_links(SAMPLE, tmp_path) == ["#elsewhere", "b/c.png", "e.svg", "g.txt#part"]
    assert missing_modules(SAMPLE, ROOT) == ["stackjax.nothing"]
