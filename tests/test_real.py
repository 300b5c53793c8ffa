"The main job on real films: short, at a small size; `bench/accuracy.py` measures the full one."
import json
from pathlib import Path

import pytest

from covid_fastai.cli import main
from covid_fastai.core import read_table


@pytest.fixture
def call(capsys):
    "Runs a command line; what it printed."
    def run(*args):
        code, (out, err) = main([str(a) for a in args]), capsys.readouterr()
        assert code == 0, err[-2000:]
        return out
    return run


@pytest.mark.real
@pytest.mark.slow
def test_train_evaluate_explain_predict(call, real_data, real_weights, tmp_path):
    manifest, out = real_data/"cxr"/"manifest.csv", tmp_path/"run"
    printed = call("train", "--manifest", manifest, "--task", "three-class", "--arch", "mobilenet_v2", "--weights-dir", real_weights,
        "--freeze-epochs", 1, "--epochs", 1, "--size", 128, "--out", out)
    assert "mobilenet_v2_tf2ptq_dequant-9b13587e.pth" in printed and "95 % interval" in printed
    films = read_table(out/"manifest.csv")
    assert len(films) == 1096 and (films.groupby("group")["split"].nunique() == 1).all() and (films.groupby("patient_id")["split"].nunique() == 1).all()
    auc = json.loads((out/"metrics.json").read_text())["metrics"]["macro_auc"]
    assert auc["low"] > 0.7, auc  # chance is 0.5; films of this collection are told apart far better than that
    assert "accuracy" in call("evaluate", out)
    call("explain", out, "--top", 6)
    assert (out/"figures"/"top_losses.png").stat().st_size > 10_000 and len(read_table(out/"top_losses.csv")) == 6
    call("predict", "--bundle", out, real_data/"raw", "--out", tmp_path/"raw.csv")
    table = read_table(tmp_path/"raw.csv").assign(filename=lambda t: t["filename"].map(lambda f: Path(f).name)).set_index("filename").fillna("")
    assert set(table.index[(table["status"] != "ok") | (table["scope"] != "")]) == {"README.md", "jkms-35-e79-g001-l-d.jpg", "covid-19-pneumonia-30-L.jpg", "nejmoa2001191_f1-L.jpeg"}, "a text, a CT slice, two lateral views"
    assert table.loc["jkms-35-e79-g001-l-d.jpg", "status"] == "refused" and table.loc["jkms-35-e79-g001-l-d.jpg", "reason"].startswith("jkms-35-e79-g001-l-d.jpg: ct: ")


@pytest.mark.real
@pytest.mark.slow
def test_features_of_a_few_draws_train_a_head_as_well(call, real_data, real_weights, tmp_path):
    "Four frozen epochs that draw anew each time, and the same on features of two draws: the test AUC of one lies in the interval of the other."
    def auc(name, *flags):
        call("train", "--manifest", real_data/"cxr"/"manifest.csv", "--arch", "mobilenet_v2", "--weights-dir", real_weights, "--schedule", "constant",
            "--freeze-epochs", 4, "--epochs", 0, "--size", 96, *flags, "--out", tmp_path/name)
        assert read_table(tmp_path/name/"log.csv")["phase"].eq("frozen").sum() == 4
        return json.loads((tmp_path/name/"metrics.json").read_text())["metrics"]["macro_auc"]

    ordinary, features = auc("ordinary"), auc("features", "--draws", 2)
    assert ordinary["low"] < features["value"] < ordinary["high"] and features["low"] < ordinary["value"] < features["high"], (ordinary, features)
    assert ordinary["low"] > 0.7, ordinary


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("flags, fits, refused", [
    (("--folds", "3"), 3, ""),
    (("--by", "source"), 2, "without source cohen fewer than 3 patients of class covid are left"),
    (("--by", "host", "--only", "source=cohen", "--task", "covid-noncovid"), 7, ""),
], ids=["patient", "source", "host"])
def test_cross_validation(call, real_data, real_weights, tmp_path, flags, fits, refused):
    "Folds by patient, by source where classes remain, and by host within the one collection that has both classes in several hosts."
    printed = call("crossval", "--manifest", real_data/"cxr"/"manifest.csv", "--arch", "mobilenet_v2", "--weights-dir", real_weights, "--schedule", "constant",
        "--freeze-epochs", 4, "--epochs", 0, "--draws", 1, "--size", 96, *flags, "--out", tmp_path/"cv")
    result = json.loads((tmp_path/"cv"/"metrics.json").read_text())
    assert len(result["fits"]) >= fits and refused in printed
    preds = read_table(tmp_path/"cv"/"predictions.csv")
    test = preds[preds["split"] == "test"]
    assert not test["filename"].duplicated().any() and result["n"] == len(test)
    if "--by" in flags: assert {g["collection"] for g in result["gaps"]} and "never saw" in printed
    else: assert len(test) == 1096 and result["metrics"]["macro_auc"]["low"] > 0.7, result["metrics"]["macro_auc"]
