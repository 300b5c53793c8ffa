"The five studies: every printed figure is there, and stays there in a ledger that a killed process went on with."
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision

from covid_fastai.cli import main
from covid_fastai.ledger import headlines
from covid_fastai.phantom import phantom_study
from covid_fastai.reproduce import ReproducePlan, list_rows
from covid_fastai.studies import get_papers

KEY = ["study", "where", "experiment", "network", "metric", "split"]


def by_hand():
    "The figures as they were copied from the papers by hand: key -> printed."
    table = pd.read_csv(Path(__file__).with_name("published.csv"))
    assert not table.duplicated(KEY).any()
    return table.set_index(KEY)["printed"].to_dict()


def test_the_figures_are_those_that_were_copied_by_hand():
    "Each row and cell of the tables of the five papers, no more and no fewer."
    assert {(p.name, c.where, c.experiment, c.network, c.metric, c.split): c.value for p in get_papers() for c in p.cells} == by_hand()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "Phantoms from three sites, and a weights file that was made here: of random numbers, so that what is tested is the way."
    folder = tmp_path_factory.mktemp("studies")
    phantom_study(folder/"study", 60, size=96, sources=("site_a", "site_b", "site_c"))
    (folder/"weights").mkdir()
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), folder/"weights"/"squeezenet1_1-made-here.pth")
    return folder


def command(place, name, out, *more): return [sys.executable, "-m", "covid_fastai", "reproduce", name, "--manifest", str(place/"study/manifest.csv"), "--quick", "--weights-dir", str(place/"weights"), "--out", str(out), *more]


def test_all_studies_run_though_the_process_is_killed(place, capsys):
    "After kill -9 the same command goes on, here in two processes; the ledger has every printed figure, own networks without weights are named, the stand-in runs."
    out = place/"all"
    process = subprocess.Popen(command(place, "all", out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    def finished(): return {p: p.stat().st_mtime_ns for p in out.rglob("metrics.json")}
    while len(finished()) < 8 and process.poll() is None and time.monotonic() < end: time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = finished()
    assert len(before) >= 8 and not (out/"ledger.csv").exists()
    assert main(command(place, "all", out, "--workers", "2")[3:]) == 0
    assert before.items() <= finished().items()  # nothing was trained twice
    table = pd.read_csv(out/"ledger.csv").fillna({"run": "", "why": ""})
    assert {tuple(r[k] for k in KEY): r["printed"] for r in table.to_dict("records")} == by_hand()
    assert set(table.loc[table["stand_in"], "run"]) == {"squeezenet1_1"} and set(table.loc[~table["stand_in"], "run"]) == {f"saxena2021_{i}" for i in (1, 2, 3)}
    assert table.loc[table["stand_in"], "why"].str.startswith("no weights of ").all()
    assert table[["published", "cleaned", "honest"]].notna().all().all() and table["gate"].isin(["PASS", "WEAK", "FAIL"]).all()
    page = (out/"ledger.md").read_text()
    assert all(f"## {p.name}\n" in page for p in get_papers()) and "these figures mean nothing" in page and str(place) not in page
    assert "research use only" in capsys.readouterr().out.lower() and set(headlines(table)["study"]) == {p.name for p in get_papers()}
    assert {"training.png", "confusion.png", "roc.png", "grad_cam.png", "top_losses.png"} & {p.name for p in out.rglob("karhan2020/*/*/*/*/figures/*.png")} >= {"training.png", "confusion.png", "roc.png", "top_losses.png"}


def test_headlines_come_first_where_all_layers_are_trained(place):
    "When the time ends, what the studies are known for is there, and what is beside it is not."
    papers = {p.name: p for p in get_papers()}
    rows = [r for r in list_rows(papers.values(), ReproducePlan(), place/"weights", ("squeezenet1_1",))[0] if papers[r.paper].experiment(r.experiment).tuned and r.stand_in]
    known = [r.experiment in {c.experiment for c in papers[r.paper].headlines} for r in rows]
    assert {r.experiment for r, k in zip(rows, known) if k} == {"non-COVID, augmented, fine-tuned", "viral, augmented, fine-tuned"} and known == sorted(known, reverse=True) and not all(known)


def test_a_budget_that_ends_is_said(place, capsys):
    "Rows that did not fit are listed, in print and in the ledger, and the next call with more time does them."
    assert main(command(place, "saxena2021", place/"short", "--budget", "0.001", "--as", "published")[3:]) == 0
    assert "not run, the budget ended before: saxena2021/experiment-4/published/squeezenet1_1" in capsys.readouterr().out
    table = pd.read_csv(place/"short"/"ledger.csv")
    late = table[table["published"].isna()]
    assert len(late) and set(late["verdict"]) == {"not run"} and late["why"].str.contains("the budget ended before").all()


@pytest.mark.parametrize("change, told", [
    (("--as", "honst"), "unknown form 'honst'; expected one of published, cleaned, honest; did you mean honest"), (("--seeds", "0"), "0 seeds"), (("--out", "{study}/manifest.csv"), "")])
def test_bad_input_is_told_in_a_line(place, change, told, capsys):
    assert main([*command(place, "saxena2021", place/"bad")[3:], *(c.format(study=place/"study") for c in change)]) in (1, 2)
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1
