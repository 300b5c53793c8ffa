"""Whether the intervals hold what they promise: how often the truth is inside, in made-up studies whose truth is known.

    python bench/coverage.py [--studies 1000] [--first 0] [--out coverage.csv] [--quick]

A study draws patients with one film each, or with one to five; a patient's films are about equally hard. The truth is the score of the population, here of 100,000 patients. Of each score and each kind of interval the
table says in how many percent of the studies the truth was inside: 93 to 97 is what 95 % intervals promise, more is on the safe side. `auto` is what `evaluate` uses. A study in which a score is undefined is left out.
"""
import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from fastprogress.fastprogress import progress_bar
from scipy.special import softmax

from covid_fastai.core import get_task
from covid_fastai.metrics import Judged
from covid_fastai.resampling import bca_score, bootstrap, jackknife, percentile_score
from covid_fastai.tables import judged_rows, units

KINDS = ("auto", "percentile", "bca")
SKILLS = {"fair": 1.0, "good": 2.0, "near perfect": 4.0}  # How far the right class's logit lies above the others


@dataclass(frozen=True)
class Scenario:
    "A kind of study."
    task: str
    patients: int
    films: int  # Films of a patient: 1, or 1 to this
    skill: str  # A key of `SKILLS`

    def __str__(self): return f"{self.task}, {self.skill}, {self.patients} patients, {'1 film' if self.films == 1 else f'1 to {self.films} films'} each"


def study(s, patients, seed):
    "A predictions table of made-up patients; 40 % have the first class."
    gen, task = np.random.default_rng([seed, patients, s.films, list(SKILLS).index(s.skill), len(get_task(s.task).classes)]), get_task(s.task)
    k, who = len(task.classes), np.repeat(np.arange(patients), gen.integers(1, s.films + 1, patients))
    target = gen.choice(k, patients, p=[0.4] + [0.6 / (k - 1)] * (k - 1))
    logit = (SKILLS[s.skill] * np.eye(k)[target] + gen.normal(0, 1, (patients, k)))[who] + gen.normal(0, 0.5, (len(who), k))
    p = pd.DataFrame(softmax(logit, 1), columns=task.p_columns)
    return p.assign(filename=np.arange(len(who)).astype(str), patient_id=who.astype(str), split="test", target=np.array(task.classes, object)[target[who]])


def judged(s, patients, seed):
    task = get_task(s.task)
    df, _ = judged_rows(study(s, patients, seed), task)
    return Judged(df, task, *units(df))


def inside(s, seed, truth, n_boot):
    "Of each score whether the truth is inside each kind of interval; NaN where the study does not define it."
    films = judged(s, s.patients, seed)
    draws, left_out = bootstrap(films.drawn, films.size, n_boot, seed, workers=1), jackknife(films.scorer, films.size)

    def score(name, kind):
        if kind == "bca": return bca_score(films.values[name], draws[name], left_out[name], films.n, "")
        return films.interval(name, draws) if kind == "auto" else percentile_score(films.values[name], draws[name], films.n, "")

    def hit(name, kind):
        if np.isnan(films.values[name]): return np.nan
        found = score(name, kind)
        return float(found.low <= truth[name] <= found.high)
    return {(name, kind): hit(name, kind) for name, kind in product(truth, KINDS)}


def coverage(s, seeds, n_boot):
    "Percent of the studies of a scenario whose intervals hold the truth."
    truth = judged(s, 100_000, 2**31).values
    shares = pd.DataFrame([inside(s, seed, truth, n_boot) for seed in seeds]).mean() * 100
    return pd.DataFrame([dict(scenario=str(s), metric=name, kind=kind, truth=truth[name], coverage=v) for (name, kind), v in shares.items()])


def families(name):
    "A score without its class: `sensitivity_covid` is a sensitivity."
    return next((name.removesuffix(f"_{c}") for c in ("covid", "normal", "other") if name.endswith(f"_{c}")), name)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--studies", type=int, default=1000)
    p.add_argument("--first", type=int, default=0, help="seed of the first study; other seeds, other studies")
    p.add_argument("--n-boot", type=int, default=500, help="draws of each study")
    p.add_argument("--patients", type=int, nargs="+", default=[50, 200, 1000])
    p.add_argument("--out", help="a CSV with a row for each scenario, score and kind")
    p.add_argument("--quick", action="store_true", help="20 studies: to see that it works")
    args = p.parse_args()
    if args.quick: args.studies = 20
    scenarios = [Scenario(*x) for x in product(("covid-normal", "three-class"), args.patients, (1, 5), SKILLS)]
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(coverage, s, range(args.first, args.first + args.studies), 100 if args.quick else args.n_boot) for s in scenarios]
        found = pd.concat([job.result() for job in progress_bar(jobs)])
    if args.out: found.to_csv(args.out, index=False)
    found["score"] = found["metric"].map(families)
    found[["patients", "skill"]] = found["scenario"].str.extract(r", ([\w ]+), (\d+) patients")[[1, 0]].to_numpy()
    of_classes = found.groupby(["score", "kind", "scenario", "patients", "skill"], sort=False)["coverage"].mean().reset_index()
    table = of_classes.pivot_table(index=["score", "kind"], columns=["patients", "skill"], values="coverage", aggfunc="min", sort=False).round(1)
    print(f"\ncoverage in percent, mean of classes, the least of both tasks with one film and with one to five films a patient; {args.studies} studies each, standard error of one about {np.sqrt(.95 * .05 / args.studies) * 100:.1f}")
    print(table.to_string())


if __name__ == "__main__": main()
