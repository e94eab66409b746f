"""What `make docs` built: `python tests/built_site.py build/site`. Needs nothing beside Python."""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What readers search for.
SOUGHT = {"HierarchicalAscent", "play", "certify", "sweep", "CournotDuopoly", "HiC"}
#: What a page loads by itself, unlike links that a reader follows.
LOADED = {"img": "src", "script": "src", "link": "href", "source": "src"}


class Page(HTMLParser):
    """The anchors, links and loaded files of a page, and how many formulas it has."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loads, self.formulas = set(), [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        self.formulas += tag == "math"
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in LOADED and given.get(LOADED[tag]) and given.get("rel") != "canonical":
            self.loads.append(given[LOADED[tag]])


def problems(site):
    """Sentences about what is wrong."""
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site)
        yield from (f"{name}: loads {load}" for load in page.loads if urlsplit(load).scheme or load.startswith("//"))
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{name}: {link} leads nowhere"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name}: {link} has no such place"
        if "\\(" in path.read_text() and not page.formulas:
            yield f"{name}: formulas aren't rendered"
    if not sum(page.formulas for page in pages.values()):
        yield "no page has a formula"
    found = {entry["title"] for entry in json.loads((site / "search" / "search_index.json").read_text())["docs"]}
    yield from (f"the search index lacks {name}" for name in sorted(SOUGHT - found))


if __name__ == "__main__":
    root = Path(sys.argv[1]).resolve()
    wrong = list(problems(root))
    print("\n".join(wrong) or f"{len(list(root.rglob('*.html')))} pages, all links lead somewhere")
    sys.exit(bool(wrong))
