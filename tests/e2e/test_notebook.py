"""The notebook of the documentation runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "first-steps.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook's own machinery
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_notebook_goes_from_a_corpus_to_a_plot(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    data = [kind for output in shown if "data" in output for kind in output["data"]]
    assert data.count("image/png") == 2
    assert data.count("text/html") == 3  # the run, the call and the texts
    streams = [output["text"] for output in shown if output.output_type == "stream"]
    assert all("ipywidgets" in text for text in streams), streams  # tqdm's hint, where they are not installed
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_notebook_is_stored_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
