"""How often the gate finds a planted shortcut, and how often it raises a false alarm.

    python bench/gate.py --studies 50

Of `--studies` phantom studies with one planted shortcut (each kind in turn, strength 0.7 to 1) and as many without, each gets a network of its own, trained and tested on its films; its result is set beside its controls. The truth about
phantoms is known. Lesions are seen at a glance in half of the studies of either kind and hard to see in the other half. A shortcut counts as found when the verdict's
reasons name a control: one that explains 60 % of the result (WEAK) or 80 % of it (FAIL), or permuted labels that were learnt.
"""
import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from fastprogress.fastprogress import progress_bar

from covid_fastai.blocks import xray_dls
from covid_fastai.controls import stand_of
from covid_fastai.core import DISCLAIMER, get_task, rng
from covid_fastai.gate import gate, run_controls
from covid_fastai.intervals import proportion_score
from covid_fastai.learner import xray_learner
from covid_fastai.manifest import read_manifest
from covid_fastai.phantom import SHORTCUTS, phantom_study
from covid_fastai.splits import with_splits
from covid_fastai.training import fit_phases
from covid_fastai.schedules import get_schedule
from covid_fastai.validate import predictions

TASK = get_task("covid-normal")


def one_study(i, planted, folder, patients, epochs):
    "A study, its result and its verdict: a row."
    draw = rng(i, "gate", int(planted))
    kind, strength, visibility = SHORTCUTS[i % len(SHORTCUTS)], draw.uniform(0.7, 1), (1.0, 0.4)[i // len(SHORTCUTS) % 2]
    phantom_study(folder, patients, size=96, seed=1000 * planted + i, classes=TASK.classes, visibility=visibility, shortcuts={kind: strength} if planted else None)
    films = with_splits(TASK.select(read_manifest(folder/"manifest.csv")), valid=0.1, test=0.3, seed=i, search=False)
    learn = xray_learner(xray_dls(films, TASK, size=96, bs=16), "small_cnn", seed=i)
    with learn.no_bar(), learn.no_logging(): fit_phases(learn, get_schedule("one-cycle", epochs=epochs, freeze_epochs=0, lr=3e-3).phases(False), i)
    preds = predictions(learn, films)
    verdict = gate(preds, stand := stand_of(preds, films), run_controls(stand, learn), n_boot=1000)
    table = verdict["controls"].set_index("control")
    fails = table[table["fails"] & (table["low"] > 0.5)]
    return dict(planted=kind if planted else "", strength=strength if planted else 0.0, visibility=visibility, verdict=verdict["verdict"], auc=verdict["result"]["auc"], inside=(verdict["within_source"] or {"auc": np.nan})["auc"],
        worst=fails["share"].idxmax() if len(fails) else "", share=fails["share"].max() if len(fails) else 0.0, permuted=verdict["permuted"]["p"], found=any(" alone reaches " in r or r.startswith("permuted") for r in verdict["reasons"]))


def rate(rows, planted):
    "The share of studies in which a shortcut was found, with its interval."
    s = proportion_score(rows["found"].astype(float).to_numpy(), np.ones(len(rows)), "studies")
    return f"{'planted, found' if planted else 'none planted, false alarms'}: {rows['found'].sum()} of {len(rows)} ({s.value:.1%}; {s.low:.1%} to {s.high:.1%}); FAIL {(rows['verdict'] == 'FAIL').sum()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=50, help="of each kind (50)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (0)")
    parser.add_argument("--patients", type=int, default=200, help="in each study (200)")
    parser.add_argument("--epochs", type=int, default=10, help="of each network (10)")
    parser.add_argument("--out", type=Path, help="CSV to write, a row a study")
    args = parser.parse_args()
    rows = []
    for i in progress_bar(range(args.first, args.first + args.studies)):
        for planted in (True, False):
            with tempfile.TemporaryDirectory() as d: rows.append(dict(study=i, **one_study(i, planted, Path(d), args.patients, args.epochs)))
            if args.out: pd.DataFrame(rows).to_csv(args.out, index=False)
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    for planted, part in ((True, table[table["planted"] != ""]), (False, table[table["planted"] == ""])): print(rate(part, planted))
    print(DISCLAIMER)


if __name__ == "__main__": main()
