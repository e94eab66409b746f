"""What the README shows works: its Python, its commands, its make targets and its links."""

import os
import shlex

import pytest
from click.testing import CliRunner
from documents import ROOT, alike, blocks, broken_links, commands, missing_modules, run_python, unknown_targets

from stackjax import cli

README = ROOT / "README.md"


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
