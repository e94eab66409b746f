"""Every notebook runs, and is kept without its outputs."""

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def leftovers(notebook):
    """What a run or an editor has left in the cells of a notebook."""
    found = []
    for cell in notebook.cells:
        found += [f"{cell.id}: outputs"] * bool(cell.get("outputs"))
        found += [f"{cell.id}: an execution count"] * (cell.get("execution_count") is not None)
        found += [f"{cell.id}: metadata"] * bool(cell.metadata)
    return found


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs a notebook with this interpreter, and leaves nothing in anybody's home."""
    spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    folder = tmp_path / "kernels" / "running"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec | {"display_name": "this interpreter"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))

    def run(notebook):
        return NotebookClient(notebook, kernel_name="running", timeout=300).execute(cwd=str(tmp_path))

    return run


def test_there_are_notebooks():
    assert "first_steps.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_runs(path, run):
    ran = run(nbformat.read(path, as_version=4))
    assert any(output.get("data", {}).get("image/png") for cell in ran.cells for output in cell.get("outputs", ()))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_valid_and_stripped(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert set(notebook.metadata) <= {"kernelspec", "language_info"} and notebook.metadata.kernelspec.name == "python3"
    assert leftovers(notebook) == []


def test_what_is_wrong_is_found(run):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code, id=code[:1]) for code in ("1", "x")])
    with pytest.raises(CellExecutionError, match="NameError"):
        run(notebook)
    assert leftovers(notebook)[:2] == ["1: outputs", "1: an execution count"]
