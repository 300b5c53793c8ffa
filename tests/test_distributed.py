"One training in several processes: the same command, the same run folder, one voice."
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from covid_fastai.cli import main
from covid_fastai.core import read_table
from covid_fastai.training import read_checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs a POSIX system here")
BIN = Path(sys.executable).parent
TORCHRUN = [str(BIN/"torchrun"), "--nproc_per_node", "2", "-m", "covid_fastai"]
ENV = os.environ | dict(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1")


def call(*args):
    "A finished process, as a shell would start it."
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=240, env=ENV)


def ours(done):
    "The lines that this package wrote on standard error."
    return [line for line in done.stderr.splitlines() if line.startswith("covid_fastai: ")]


def same(a, b, numbers):
    "Equal to 1e-3 in the columns that are numbers (two processes add in another order), and wholly in the others."
    pd.testing.assert_frame_equal(a.astype(dict.fromkeys(numbers, float)), b.astype(dict.fromkeys(numbers, float)), atol=1e-3, rtol=1e-3)


def same_log(a, b): same(*(pd.read_csv(run/"log.csv") for run in (a, b)), ["train_loss", "valid_loss", "auc", "lr"])


@pytest.fixture(scope="module")
def train(study, tmp_path_factory):
    "The flags of a training that draws all it can: augmentation, and a head with dropout and batch norm."
    import torch
    import torchvision
    weights = tmp_path_factory.mktemp("weights")/"resnet18.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(torchvision.models.resnet18().state_dict(), weights)
    flags = f"--arch resnet18 --head fastai --size 64 --bs 15 --freeze-epochs 1 --epochs 3 --lr 1e-3 --precision fp32 --weights {weights}"
    return ["train", "--manifest", study/"manifest.csv", *flags.split()]


@pytest.fixture(scope="module")
def two(train, tmp_path_factory):
    "A run of two processes, and what it printed."
    out = tmp_path_factory.mktemp("two")/"run"
    done = call(*TORCHRUN, *train, "--out", out)
    assert done.returncode == 0 and ours(done) == [], done.stderr
    return out, done.stdout


@pytest.fixture(scope="module")
def one(train, tmp_path_factory):
    "The same in one process."
    out = tmp_path_factory.mktemp("one")/"run"
    with contextlib.redirect_stdout(io.StringIO()) as said: assert main([*map(str, train), "--out", str(out)]) == 0
    return out, said.getvalue()


def test_two_processes_train_as_one(one, two):
    "The world had two members, and log and predictions are those of one process to rounding."
    (a, said), (b, said_by_two) = one, two
    assert [json.loads((run/"config.json").read_text())["chosen"]["processes"] for run in (a, b)] == [1, 2]
    assert {str(p.relative_to(a)) for p in a.rglob("*")} == {str(p.relative_to(b)) for p in b.rglob("*")}
    assert pd.read_csv(b/"log.csv").epoch.tolist() == [1, 2, 3, 4]
    same_log(a, b)
    same(*(read_table(run/"predictions.csv") for run in (a, b)), ["p_covid", "p_normal", "p_other"])
    assert said_by_two.count("run folder: ") == said.count("run folder: ") == said_by_two.count("2 processes, 7.5 films of each batch of 15") == 1


def test_a_checkpoint_holds_the_plain_network(one, two):
    keys = [read_checkpoint(run/"checkpoints"/"last.pth")["model"].keys() for run, _ in (one, two)]
    assert keys[0] == keys[1] and not any("module." in k for k in keys[1])


def test_one_process_finishes_what_two_began(train, one, tmp_path):
    p = subprocess.Popen([*TORCHRUN, *map(str, train), "--out", str(tmp_path/"run")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENV, start_new_session=True)
    log = tmp_path/"run.partial"/"log.csv"
    while p.poll() is None and not (log.is_file() and len(pd.read_csv(log)) >= 2): pass
    assert p.poll() is None, "it ended before it could be killed"
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()
    assert main([*map(str, train), "--out", str(tmp_path/"run"), "--resume"]) == 0
    same_log(tmp_path/"run", one[0])


def test_a_mistake_is_told_once(train, tmp_path):
    "Whether all processes see it at the same time, or the first one alone."
    (tmp_path/"mine").mkdir()
    (tmp_path/"mine"/"letter.txt").write_text("keep me")
    for args, part in ((["--task", "threeclass", "--out", tmp_path/"x"], "did you mean three-class"), (["--out", tmp_path/"mine"], "holds other files"), (["--bs", "many", "--out", tmp_path/"x"], None)):
        done = call(*TORCHRUN, *train, *args)
        assert done.returncode and [line for line in ours(done) if part and part in line] == ours(done) and len(ours(done)) == (part is not None), done.stderr
        assert done.stderr.count("argument --bs: invalid int value") == (part is None)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_accelerate_that_starts_one_process_is_noticed(tmp_path):
    done = call(BIN/"accelerate", "launch", "--cpu", "--num_processes", "2", "-m", "covid_fastai", "evaluate", tmp_path/"none")
    assert len(ours(done)) == 2 and "use torchrun --nproc_per_node N" in ours(done)[0] and "no predictions at" in ours(done)[1], done.stderr
