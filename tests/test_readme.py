"""What the README shows works: its Python, its commands, its make targets and its links."""

import pytest
from documents import (
    ROOT,
    alike,
    broken_links,
    commands,
    missing_modules,
    run_python,
    stackjax_commands,
    unknown_targets,
    write_anew,
)

README = ROOT / "README.md"


def test_it_is_short():
    assert len(README.read_text().splitlines()) <= 120


def test_its_python_runs(page_folder):
    shown = [printed for printed in run_python(README.read_text()) if printed.shown is not None]
    assert shown
    for printed in shown:
        assert alike(printed.shown, printed.output), printed.output


def test_its_commands_start(started):
    found = stackjax_commands(README.read_text())
    assert {arguments[0] for arguments in found} >= {"list", "compare", "sweep", "run", "certify", "regret", "metagame"}
    for arguments in found:
        started(arguments)


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


def test_broken_commands_are_found(started):
    assert commands(SAMPLE)[1] == ["stackjax", "compare", "duoply", "--seed", "1"]
    with pytest.raises(AssertionError, match="did you mean 'duopoly'"):
        started(stackjax_commands(SAMPLE)[0])


def test_unknown_targets_are_found():
    makefile = "one two: six\n\techo\nfive := 3\n"
    assert unknown_targets(SAMPLE, makefile.replace("one two", "one")) == ["five", "two"]


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.txt").touch()
    assert broken_links(SAMPLE, tmp_path) == ["#elsewhere", "b/c.png", "e.svg", "g.txt#part"]
    assert missing_modules(SAMPLE, ROOT) == ["stackjax.nothing"]


def test_what_is_shown_is_compared(tmp_path):
    assert alike("x = 0.33 after 100", "x =  0.334 after 100\n")
    assert not alike("x = 0.33 after 100", "y = 0.33 after 100")
    assert not alike("x = 0.33 after 100", "x = 0.36 after 100")
    assert not alike("x = 0.33 after 100", "x = 0.33 after 101")
    assert not alike("0.5 0.5", "0.5")
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n\nSo much.\n")
    write_anew(page)
    assert page.read_text() == "```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n\nSo much.\n"
