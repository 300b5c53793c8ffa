"`docs/migration.md`: its lines run where their packages are, and its table is what the packages have."
import os
import re
import shutil
import subprocess
import sys

import pytest
from compare import BEGIN, END, home, sources, table
from conftest import ROOT

PAGE = (ROOT/"docs"/"migration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.+?)```", PAGE, re.S)
QUICK = {'weights="imagenet"': 'weights="random"', "pretrained=True": "pretrained=False", "epochs=5": "epochs=1", "fine_tune(5)": "fine_tune(1)", "224": "96"}  # no download, and no long wait


@pytest.mark.slow
@pytest.mark.parametrize("script", BLOCKS[:2], ids=["fastai", "covid_fastai"])
def test_its_lines_run(script, study, tmp_path):
    assert len([line for line in script.splitlines() if line.strip()]) <= 11
    shutil.copytree(study, tmp_path/"films")
    for long, short in QUICK.items(): script = script.replace(long, short)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=os.environ | dict(MPLBACKEND="agg"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path/"model.pkl").is_file() or (tmp_path/"model"/"model.safetensors").is_file()


def test_every_block_is_python():
    for script in BLOCKS: compile(script, "migration.md", "exec")


def found_in(text, package):
    "Features that a package has by a Markdown table, and the head of its column."
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
    (k,) = [i for i, c in enumerate(rows[0]) if c.startswith(package)]
    return {r[0]: r[k] != "not found" for r in rows[2:]}, rows[0][k]


@pytest.mark.parametrize("package", ["covid_fastai", "fastai"])
def test_its_table_is_what_the_code_has(package):
    "As far as the same version is installed; modules may be renamed."
    (said, old), (found, new) = (found_in(text, package) for text in (PAGE.split(BEGIN)[1].split(END)[0].strip(), table()))
    if old != new: pytest.skip(f"the table is about {old}, and {new} is installed")
    assert said == found and (package == "fastai" or all(said.values()))


def test_what_is_missing_is_said():
    assert home({"a": "x = 1", "b.c": "import onnx"}, "onnx") == "`b.c`" and home({"a": "x"}, "onnx") == "not found"
    assert sources("no_such_package") == {}
