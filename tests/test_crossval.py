"Cross-validation as a process: folds, processes, a Dask cluster, and workers that die."
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from covid_fastai.cli import main
from covid_fastai.core import read_table

COMMAND = str(Path(sys.executable).with_name("covid_fastai"))
SMALL = ["--arch", "small_cnn", "--size", "96", "--bs", "8", "--hidden", "0", "--epochs", "2", "--freeze-epochs", "0", "--precision", "fp32", "--folds", "3"]
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}  # so that sums are added in the same order everywhere


def crossval(study, out, *flags, **kwargs):
    return subprocess.run([COMMAND, "crossval", "--manifest", str(study/"manifest.csv"), *SMALL, "--out", str(out), *map(str, flags)],
        capture_output=True, text=True, timeout=600, env=ENV, **kwargs)


def table(out): return (out/"predictions.csv").read_bytes()


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory):
    "A study that ran in one process; its folder."
    out = tmp_path_factory.mktemp("crossval")/"whole"
    done = crossval(study, out)
    assert done.returncode == 0, done.stderr
    assert "3 fits by patient" in done.stdout and "All films, each judged by models that did not train on its fold" in done.stdout and "not a medical device" in done.stdout
    return out


def test_a_study_is_audited_as_a_run_is(whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path/"study")
    assert main(["audit", str(tmp_path/"study")]) == 0
    said = json.loads((tmp_path/"study"/"audit"/"verdict.json").read_text())
    assert f"verdict: {said['verdict']}" in capsys.readouterr().out and json.loads((tmp_path/"study"/"metrics.json").read_text())["verdict"] == said["verdict"]
    preds = read_table(whole/"predictions.csv")
    assert said["result"]["n"] == (preds["split"] == "test").sum() and {"metadata", "size", "source", "no lungs", "frame", "mask"} <= {c["control"] for c in said["controls"]}


def test_every_film_is_judged_once(study, whole):
    preds = read_table(whole/"predictions.csv")
    test = preds[preds["split"] == "test"]
    assert sorted(test["filename"]) == sorted(read_table(study/"manifest.csv")["filename"])
    assert json.loads((whole/"metrics.json").read_text())["n"] == len(test)
    for path in sorted(whole.glob("fold-*/manifest.csv")):
        films = read_table(path)
        assert (films.groupby("group")["split"].nunique() == 1).all() and (films.groupby("patient_id")["split"].nunique() == 1).all()


def test_the_study_can_be_evaluated(whole, capsys):
    assert main(["evaluate", str(whole), "--by", "source"]) == 0
    assert "small: fewer than 20" in capsys.readouterr().out


@pytest.mark.slow
def test_a_study_that_was_killed_goes_on(study, whole, tmp_path):
    out = tmp_path/"killed"
    p = subprocess.Popen([COMMAND, "crossval", "--manifest", str(study/"manifest.csv"), *SMALL, "--out", str(out), "--workers", "2"], env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(Path(f"{out}.partial").glob("fold-*/seed-0/metrics.json")), p)
    workers = workers_of(p.pid)
    p.kill()
    p.wait()
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers): assert time.monotonic() < end, "workers went on without the call that started them"
    done = crossval(study, out, "--resume")
    assert done.returncode == 0 and "fits are finished already" in done.stdout, done.stderr
    assert table(out) == table(whole)


@pytest.mark.slow
def test_a_worker_process_that_dies_is_replaced(study, whole, tmp_path):
    out = tmp_path/"replaced"
    p = subprocess.Popen([COMMAND, "crossval", "--manifest", str(study/"manifest.csv"), *SMALL, "--out", str(out), "--workers", "2"], env=ENV, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: list(Path(f"{out}.partial").glob("fold-*/seed-0.partial/log.csv")), p)
    os.kill(workers_of(p.pid)[-1], signal.SIGKILL)
    printed = p.communicate(timeout=600)[0]
    assert p.returncode == 0 and "lost their worker; trying again" in printed and table(out) == table(whole), printed


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_table_though_a_worker_dies(study, whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, env=ENV) as cluster:
        out = tmp_path/"dask"
        p = subprocess.Popen([COMMAND, "crossval", "--manifest", str(study/"manifest.csv"), *SMALL, "--out", str(out), "--dask", cluster.scheduler_address], env=ENV, stdout=subprocess.PIPE, text=True)
        wait_for(lambda: list(Path(f"{out}.partial").glob("fold-*/seed-0.partial/log.csv")), p)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        printed = p.communicate(timeout=600)[0]
        assert p.returncode == 0 and table(out) == table(whole), printed


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended before it could be disturbed"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def workers_of(pid):
    "The processes of a pool: they are forked from a process that it has started."
    out = [worker for server in children(pid) for worker in children(server)]
    assert out, "the pool has no process"
    return sorted(out)


def children(pid):
    "The processes whose parent it is."
    out = []
    for path in Path("/proc").glob("[0-9]*"):
        try: parent = int((path/"stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError): continue
        if parent == pid: out.append(int(path.name))
    return out
