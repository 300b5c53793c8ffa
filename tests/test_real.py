"The main job on real films, as a process: short, at a small size; `bench/accuracy.py` measures the full one."
import json
import subprocess
import sys
from pathlib import Path

import pytest

from covid_fastai.core import read_table

COMMAND = str(Path(sys.executable).with_name("covid_fastai"))


def call(*args):
    p = subprocess.run([COMMAND, *map(str, args)], capture_output=True, text=True, timeout=900)
    assert p.returncode == 0 and "Traceback" not in p.stderr, p.stderr[-2000:]
    return p.stdout


@pytest.mark.real
@pytest.mark.slow
def test_train_evaluate_explain_predict(real_data, real_weights, tmp_path):
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
    assert "14 of 18 films predicted" in call("predict", "--bundle", out, real_data/"raw", "--out", tmp_path/"raw.csv")
