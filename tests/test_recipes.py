"Every option against shortcuts at once, from the command line to a prediction elsewhere, and what is said of bad ones."
import contextlib
import io
import json
import shutil

import numpy as np
import pytest

from covid_fastai.cli import main
from covid_fastai.core import read_table
from covid_fastai.lungs import LungPlan, train_lungs
from covid_fastai.manifest import read_manifest

SMALL = ["--task", "three-class", "--arch", "small_cnn", "--size", "96", "--bs", "8", "--hidden", "0", "--epochs", "2", "--freeze-epochs", "0", "--precision", "fp32"]
ALL = ["--crop", "lungs", "--contrast", "equalize", "--aug", "strong", "--sampling", "source", "--mix", "0.5", "--smoothing", "0.1", "--adversary", "1", "--dro", "0.01", "--average", "ema", "--ensemble", "2", "--tta", "2"]


@pytest.fixture(scope="module")
def lungs(study, tmp_path_factory):
    net, _ = train_lungs(read_manifest(study/"manifest.csv"), LungPlan(size=64, epochs=10))
    return net.save(tmp_path_factory.mktemp("lungs")/"net")


@pytest.fixture(scope="module")
def run(study, lungs, tmp_path_factory):
    out = tmp_path_factory.mktemp("recipes")/"run"
    with contextlib.redirect_stdout(io.StringIO()) as said: assert main(["train", "--manifest", str(study/"manifest.csv"), *SMALL, *ALL, "--lungs", str(lungs), "--out", str(out)]) == 0
    assert "against shortcuts: crop lungs, contrast equalize, aug strong, sampling source" in said.getvalue()
    return out


def test_what_was_done_to_films_travels_with_the_model(study, run, tmp_path):
    preds = read_table(run/"predictions.csv").query("split == 'test'").reset_index(drop=True)
    paths = read_manifest(study/"manifest.csv").set_index("filename").path[preds["filename"]]
    assert main(["predict", "--bundle", str(run), *paths, "--out", str(tmp_path/"p.csv"), "--cam", str(tmp_path/"cams")]) == 0
    again = read_table(tmp_path/"p.csv")
    for c in ("p_covid", "p_normal", "p_other"): np.testing.assert_allclose(again[c].astype(float), preds[c].astype(float), atol=1e-5)
    assert len(list((tmp_path/"cams").glob("*.png"))) == len(preds)


def test_the_bundle_says_what_was_done(run):
    facts = json.loads((run/"bundle"/"bundle.json").read_text())
    assert facts["input"]["before"] == dict(crop="lungs", outside="keep", contrast="equalize") and facts["spec"]["recipe"]["mix"] == 0.5
    assert set(facts["sha256"]) == {"model.safetensors", "lungs/bundle.json", "scope.safetensors", "README.md"}


def test_a_changed_lung_network_is_refused(run, study, tmp_path, capfd):
    bundle = shutil.copytree(run/"bundle", tmp_path/"bundle")
    file = bundle/"lungs"/"model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert main(["predict", "--bundle", str(bundle), str(study/"images"), "--out", str(tmp_path/"p.csv")]) == 2
    assert "sha256 differs" in capfd.readouterr().err and not (tmp_path/"p.csv").exists()


@pytest.mark.parametrize("flags, found", [
    (["--crop", "lungs"], "a lung network; train one with `lungs train`, and give it with --lungs"),
    (["--mix", "0.5"], "a recipe that looks at lungs and nothing that finds them"),
    (["--recipe", "robst"], "did you mean robust"),
    (["--aug", "stronger"], "did you mean strong"),
    (["--average", "swa", "--patience", "2"], "average swa with patience 2; expected one of them"),
    (["--tta", "30"], "tta 30; expected 1 to 9"),
    (["--crop", "lungs", "--lungs", "nowhere"], "no bundle at"),
])
def test_bad_options_get_one_line(study, tmp_path, capfd, flags, found):
    code = main(["train", "--manifest", str(study/"manifest.csv"), *SMALL, *map(str, flags), "--out", str(tmp_path/"run")])
    said = capfd.readouterr().err
    assert code == 2 and found in said and len(said.strip().splitlines()) == 1
    assert not (tmp_path/"run").exists()
