"Prediction of many films as a process: killed at any moment, it goes on; what is read ahead is bounded."
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covid_fastai.bundle import save_bundle
from covid_fastai.cli import main
from covid_fastai.core import read_table
from covid_fastai.models import xray_model

COMMAND = str(Path(sys.executable).with_name("covid_fastai"))
FILMS = 2000
SPEC = dict(arch="small_cnn", head="linear", classes=["covid", "normal", "other"], task="three-class", size=96, fit="squish")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A model, and many films that are quickly read."
    folder, draw = tmp_path_factory.mktemp("many"), np.random.default_rng(0)
    save_bundle(xray_model("small_cnn", 3, "linear"), SPEC, folder/"bundle")
    (folder/"films").mkdir()
    for i in range(FILMS): Image.fromarray(draw.integers(0, 256, (100, 100), dtype=np.uint8)).save(folder/"films"/f"{i:05d}.bmp")
    (folder/"films"/"notes.txt").write_text("no film")
    return folder


def command(folder, out): return [COMMAND, "predict", "--bundle", str(folder/"bundle"), str(folder/"films"), "--out", str(out), "--no-check"]


@pytest.fixture(scope="module")
def whole(folder):
    with contextlib.redirect_stdout(io.StringIO()) as out: assert main(command(folder, folder/"whole.csv")[1:]) == 0
    said = out.getvalue()
    assert f"{FILMS} of {FILMS + 1} films predicted" in said and "1 refused" in said and "not a medical device" in said
    return (folder/"whole.csv").read_bytes()


def test_a_killed_prediction_goes_on(folder, whole, tmp_path, capsys):
    process = subprocess.Popen(command(folder, tmp_path/"p.csv"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part, end = tmp_path/"p.csv.partial", time.monotonic() + 120
    while (not part.is_file() or part.stat().st_size < 0.5 * len(whole)) and process.poll() is None and time.monotonic() < end: time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert part.is_file() and not (tmp_path/"p.csv").exists()
    (tmp_path/".p.csv.partial.1.tmp.json").touch()  # What it leaves when it is killed while it writes its note
    assert main(command(folder, tmp_path/"p.csv")[1:]) == 0
    said = capsys.readouterr().out
    assert f"of {FILMS + 1} films" in said and "going on after" in said
    assert (tmp_path/"p.csv").read_bytes() == whole and sorted(os.listdir(tmp_path)) == ["p.csv"]
    assert read_table(tmp_path/"p.csv")["filename"].is_unique


def test_a_dask_cluster_gives_the_same_table_though_a_worker_dies(folder, whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        process = subprocess.Popen([*command(folder, tmp_path/"p.csv"), "--runtime", "torch", "--dask", cluster.scheduler_address], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        part, end = tmp_path/"p.csv.partial", time.monotonic() + 200
        while (not part.is_file() or not part.stat().st_size) and process.poll() is None and time.monotonic() < end: time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be disturbed"
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    mine, other = read_table(tmp_path/"p.csv"), read_table(folder/"whole.csv")
    assert mine["filename"].tolist() == other["filename"].tolist() and mine["filename"].is_unique and sorted(os.listdir(tmp_path)) == ["p.csv"]
    assert (pd.to_numeric(mine["p_covid"]) - pd.to_numeric(other["p_covid"])).abs().max() < 1e-6


@pytest.mark.parametrize("fit", ["squish", "crop", "pad"])
def test_the_network_is_shown_the_same_pixels_everywhere(study, tmp_path, fit):
    "From file to tensor, bit by bit: what a learner is shown in training, and what its bundle is shown of the same file, of any kind."
    from covid_fastai.blocks import xray_dls
    from covid_fastai.bundle import load_bundle
    from covid_fastai.manifest import read_manifest
    from covid_fastai.radiograph import read_radiograph
    films = read_manifest(study/"manifest.csv").drop_duplicates("patient_id").head(6)
    for i, (suffix, mode) in enumerate((("jpg", "L"), ("png", "I;16"), ("tif", "L"), ("webp", "RGB"), ("png", "RGBA"))):
        pixels = np.asarray(Image.open(films["path"].iloc[i]).convert("L").resize((150, 120)))
        im = Image.fromarray(pixels.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
        im.save(tmp_path/f"{i}.{suffix}")
        films.iloc[i, films.columns.get_loc("path")] = str(tmp_path/f"{i}.{suffix}")
    rows = pd.concat([films.assign(split=split) for split in ("train", "valid")], ignore_index=True)
    save_bundle(xray_model("small_cnn", 3, "linear"), SPEC | dict(fit=fit), tmp_path/"bundle")
    bundle, dls = load_bundle(tmp_path/"bundle"), xray_dls(rows, "three-class", size=96, bs=6, aug="none", fit=fit, device="cpu")
    shown = next(iter(dls.valid))[0]
    for i, path in enumerate(films["path"]): assert np.array_equal(np.asarray(shown[i, 0]), bundle.square(read_radiograph(path)).astype(np.float32) / np.float32(255)), path


def test_reading_ahead_is_bounded(folder):
    "Whoever takes one batch has few more read."
    from covid_fastai import predict
    from covid_fastai.bundle import load_bundle
    read = []
    def noted(path, *args): return read.append(path) or as_ever(path, *args)
    as_ever, predict._read = predict._read, noted
    try:
        parts = predict.predicted(load_bundle(folder/"bundle"), predict.films_to_predict([folder/"films"]), predict.PredictPlan(bs=10, check=False))
        next(parts)
        time.sleep(1)
        assert len(read) <= 10 * (predict.AHEAD + 1)
        parts.close()
    finally: predict._read = as_ever
