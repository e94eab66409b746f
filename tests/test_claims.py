"""The table of claims: whole, and the same in its rows, its file and on its page. What it measures isn't run here."""

import json

from benchmarks.papers import claims
from benchmarks.reporting import RESULTS

TABLES = claims.sources()
STORED = json.loads((RESULTS / "claims.json").read_text())["results"]


def test_every_row_has_evidence_that_there_is():
    assert claims.faults(TABLES) == []
    assert len(TABLES) == 4 and sum(map(len, TABLES.values())) >= 90


def test_the_file_is_the_table_s():
    keys = ("source", "place", "claim", "verdict", "why")
    ours = [(source, c.place, c.claim, c.verdict, c.why) for source, each in TABLES.items() for c in each]
    measured = {r["source"] for r in STORED}  # `--only` measures some sources
    ours = [row for row in ours if row[0] in measured]
    assert measured and [tuple(r[k] for k in keys) for r in STORED] == ours
    assert [r["place"] for r in STORED if not r["borne_out"]] == []
    measured = [r for r in STORED if r["verdict"] != claims.UNMEASURABLE]
    assert all(r["evidence"] for r in measured)


def test_rows_of_scripts_are_those_that_were_committed():
    for source, each in TABLES.items():
        for c in each:
            if isinstance(c.evidence, claims.Script):
                rows, right = claims.of_script(c.evidence, claims.stored(c.evidence.name))
                assert rows and right, (source, c.place)


def test_the_page_is_the_file_s():
    assert claims.PAGE.read_text() == claims.page(STORED)


def test_faults_are_found():
    good = claims.Claim("Thm. 1", "It holds.", claims.HOLDS, None, ("tests/test_claims.py::test_faults_are_found",))
    bad = [
        good,
        good._replace(place="Thm. 2", verdict="true", why="so"),
        good._replace(place="Thm. 3", tests=()),
        good._replace(place="Thm. 4", tests=("tests/test_claims.py::test_nothing", "tests/none.py::test_it")),
        good._replace(place="Thm. 5", verdict=claims.FALSE),
        good._replace(place="Thm. 6", evidence=lambda quick: None),
    ]
    assert claims.faults({"A": [good]}) == []
    expected = ["Thm. 1: twice", "Thm. 2: no verdict 'true'", "Thm. 3: evidence, unless it isn't measurable"]
    expected += ["Thm. 4: no test tests/test_claims.py::test_nothing", "Thm. 4: no test tests/none.py::test_it"]
    expected += [
        "Thm. 5: no reason given",
        "Thm. 6: its measurement doesn't say what it measures and what its control is",
    ]
    assert sorted(claims.faults({"A": [*bad, good]})) == sorted(f"A, {e}" for e in expected)


def test_a_verdict_follows_from_what_was_found():
    """A printed claim that fails, a correction that fails and a control that doesn't fail are each seen."""

    def found(printed, control, corrected=None):
        return lambda quick: claims.Finding([claims.exact("x", 1)], printed, control, corrected)

    for verdict, finding, borne_out in (
        (claims.HOLDS, found(True, True), True),
        (claims.HOLDS, found(False, True), False),
        (claims.HOLDS, found(True, False), False),
        (claims.FALSE, found(False, True), True),
        (claims.FALSE, found(True, True), False),
        (claims.CORRECTED, found(False, True, True), True),
        (claims.CORRECTED, found(False, True, False), False),
    ):
        row = claims.record("A", claims.Claim("Thm. 1", "", verdict, finding), True, None)
        assert row["borne_out"] == borne_out
