"Modules, notebooks and README are what their sources make of them; the check finds what is not."
import shutil

import pytest
from conftest import ROOT, nothing_in
from in_step import out_of_step


@pytest.fixture
def copy(tmp_path):
    "A copy of what the check reads."
    for name in ("pyproject.toml", "README.md"): shutil.copy(ROOT/name, tmp_path)
    for name in ("nbs", "covid_fastai"): shutil.copytree(ROOT/name, tmp_path/name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_repository_is_in_step(): nothing_in(out_of_step(ROOT))


def test_what_is_out_of_step_is_found(copy):
    core, nb = copy/"covid_fastai"/"core.py", copy/"nbs"/"00_core.ipynb"
    before = out_of_step(copy)
    shutil.copy(core, core.with_name("stale.py"))
    core.write_text(core.read_text() + "\nx = 1\n")
    nb.write_text(nb.read_text().replace('"execution_count": null', '"execution_count": 7', 1))
    (copy/"README.md").write_text("# Another\n")
    texts = {p: p.read_bytes() for p in (core, nb)}
    assert set(out_of_step(copy)) - set(before) == {
        "README.md: differs from nbs/index.ipynb; run make readme",
        "covid_fastai/core.py: differs from its notebook; run nbdev_export",
        "covid_fastai/stale.py: no notebook exports it; remove it",
        "nbs/00_core.ipynb: is not clean; run nbdev_clean"}
    assert texts == {p: p.read_bytes() for p in (core, nb)}
