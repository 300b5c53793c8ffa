"The stories in `nbs/walkthroughs/` are stories: each opens alike, asks, shows, answers and sets an exercise, and its saved outputs are fit to be read and to be committed. `nbdev_test` runs them."
import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT, flags_without_help, nothing_in

from covid_fastai.core import DISCLAIMER

NOTEBOOKS = sorted((ROOT/"nbs"/"walkthroughs").glob("*.ipynb"))
PARTS = ("## The question", "## The picture", "## The answer", "## Exercise", "<details><summary>Hint</summary>", DISCLAIMER)
SOILED = {"a progress bar": r"<progress|\[\d+/\d+ ", "a folder of one machine": r"/tmp/|/home/|/var/folders|[A-Z]:\\\\", "a warning": r"Warning:", "an address that changes": r"127\.0\.0\.1"}


def read(path):
    "Cells of a notebook, their sources and outputs as text."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [dict(kind=c["cell_type"], source="".join(c["source"]), outputs=c.get("outputs", [])) for c in cells]


def faults(cells, first):
    "What is wrong with a walkthrough whose first cell of code should be `first`, a line each."
    prose = "\n".join(c["source"] for c in cells if c["kind"] == "markdown")
    code = [c for c in cells if c["kind"] == "code"]
    yield from (f"no {part!r}" for part in PARTS if part not in prose)
    if not re.match(r"# .+\n\n> .+", cells[0]["source"]): yield "it does not begin with a title and a quote"
    if code[0]["source"] != first: yield "its first cell of code does not install the package on Colab as the others do"
    if re.search(r"(?m)^#\|\s*eval:\s*false", "\n".join(c["source"] for c in code)): yield "a cell is kept from running"
    for c in code:
        for out in c["outputs"]: yield from soiled(out, c["source"].splitlines()[-1])


def soiled(out, where):
    "What should not stand in a saved output."
    if out["output_type"] == "error": yield f"an error is saved after: {where}"
    if out.get("name") == "stderr": yield f"stderr is saved after: {where}"
    data = out.get("data", {})
    text = "".join(["".join(out.get("text", "")), *("".join(v) for k, v in data.items() if k.startswith("text/"))])
    yield from (f"{what} is saved after: {where}" for what, pattern in SOILED.items() if re.search(pattern, text))
    if "text/html" in data and not "".join(data["text/html"]).strip(): yield f"an empty output is saved after: {where}"


FIRST = next(c["source"] for c in read(NOTEBOOKS[0]) if c["kind"] == "code")


def test_there_are_stories(): assert [p.stem[:2] for p in NOTEBOOKS] == sorted({p.stem[:2] for p in NOTEBOOKS}) and len(NOTEBOOKS) >= 10


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_story_is_whole_and_clean(path): nothing_in(list(faults(read(path), FIRST)))


def test_what_is_wrong_is_found():
    cells = read(NOTEBOOKS[0])
    assert not list(faults(cells, FIRST))
    cells[0]["source"] = "# A title\n\nNo quote"
    cells[1]["source"] = "pip install"
    cells[-1]["outputs"] = [dict(output_type="stream", name="stderr", text="UserWarning: x in /tmp/abc"), dict(output_type="display_data", data={"text/html": [], "text/plain": "<HTML>"}), dict(output_type="error", ename="E")]
    cells[-1]["source"] = "#| eval: false\nx"
    cells = [c for c in cells if "## Exercise" not in c["source"]]
    found = "\n".join(faults(cells, FIRST))
    for word in ("'## Exercise'", "'<details>", "title and a quote", "first cell of code", "kept from running", "stderr", "folder of one machine", "warning", "empty output", "an error"): assert word in found, word


def test_no_picture_of_a_patient():
    "What is drawn of real films is curves: nothing in that story draws a film."
    cells = read(next(p for p in NOTEBOOKS if p.stem.endswith("real_data")))
    code = "\n".join(c["source"] for c in cells if c["kind"] == "code")
    assert not re.search(r"plot_films|plot_cams|top_losses|show_batch|imshow|read_radiograph", code)


def test_nothing_happens_on_colab_alone(tmp_path):
    "The first cell asks pip for the package on Colab, and for nothing elsewhere."
    script = f"import subprocess, sys\nsubprocess.run = lambda args, check: print(args[-1])\nif len(sys.argv) > 1: sys.modules['google.colab'] = sys\nexec({FIRST!r})"
    said = [subprocess.run([sys.executable, "-c", script, *more], capture_output=True, text=True, check=True).stdout.strip() for more in ((), ("colab",))]
    assert said == ["", "covid_fastai[dicom,app,onnx]"]


COMMANDS = sorted({c for p in NOTEBOOKS for c in re.findall(r"`covid_fastai ([^`]+)`", "\n".join(c["source"] for c in read(p)))})


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_have_the_flags_they_use(command):
    assert flags_without_help(command) == []
