"Prediction of many films as a process: killed at any moment, it goes on; what is read ahead is bounded."
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_fastai.bundle import save_bundle
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
    done = subprocess.run(command(folder, folder/"whole.csv"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"{FILMS} of {FILMS + 1} films predicted" in done.stdout and "1 refused" in done.stdout and "not a medical device" in done.stdout
    return (folder/"whole.csv").read_bytes()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_killed_prediction_goes_on(folder, whole, tmp_path, share):
    process = subprocess.Popen(command(folder, tmp_path/"p.csv"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part, end = tmp_path/"p.csv.partial", time.monotonic() + 120
    while (not part.is_file() or part.stat().st_size < share * len(whole)) and process.poll() is None and time.monotonic() < end: time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert part.is_file() and not (tmp_path/"p.csv").exists()
    done = subprocess.run(command(folder, tmp_path/"p.csv"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and f"of {FILMS + 1} films" in done.stdout and "going on after" in done.stdout
    assert (tmp_path/"p.csv").read_bytes() == whole and sorted(os.listdir(tmp_path)) == ["p.csv"]
    assert read_table(tmp_path/"p.csv")["filename"].is_unique


def test_reading_ahead_is_bounded(folder):
    "Whoever takes one batch has few more read."
    from covid_fastai import predict
    from covid_fastai.bundle import load_bundle
    read = []
    def noted(path, *args): return read.append(path) or as_ever(path, *args)
    as_ever, predict._read = predict._read, noted
    try:
        parts = predict.predicted(load_bundle(folder/"bundle"), predict.films_to_predict([folder/"films"]), bs=10, check=False)
        next(parts)
        time.sleep(1)
        assert len(read) <= 10 * (predict.AHEAD + 1)
        parts.close()
    finally: predict._read = as_ever
