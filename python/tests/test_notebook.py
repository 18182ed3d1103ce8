"""The notebook does what it shows: it runs from top to bottom, and prints what is written in it."""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "quickstart.ipynb"


def printed(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [
        [output.get("text") or output["data"]["text/plain"] for output in cell.outputs]
        for cell in cells
    ]


def test_quickstart(broker, tmp_path, monkeypatch):
    """With TIDELOG_UPDATE_NOTEBOOK set, the notebook is written anew with what came out."""
    shown = nbformat.read(NOTEBOOK, as_version=4)
    fresh = nbformat.read(NOTEBOOK, as_version=4)
    monkeypatch.setenv("TIDELOG_BOOTSTRAP", broker.address)
    NotebookClient(fresh, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    if os.environ.get("TIDELOG_UPDATE_NOTEBOOK"):
        for cell in fresh.cells:
            cell.metadata = {}
        nbformat.write(fresh, NOTEBOOK)
    else:
        assert printed(fresh) == printed(shown)
