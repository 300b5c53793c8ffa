"""How fast results are judged: every score with 2,000 draws of patients on 10,000 predictions, and DeLong's test on 100,000.

    python bench/judgement.py [--repeats 3]

Made-up predictions; medians. `plain` draws films with scikit-learn's functions, one resample after the other, as is usual: measured on 20 resamples and multiplied.
"""
import argparse
from statistics import median
from time import perf_counter

import numpy as np
from sklearn import metrics as skm

from covid_fastai.metrics import evaluate
from covid_fastai.paired import delong_test
from covid_fastai.tables import made_up_predictions

PLAIN = 20  # Resamples of the plain way that are measured


def plain(df, n_boot):
    "The usual loop: nine of the scores, film by film."
    p, t, gen = df[["p_covid", "p_normal", "p_other"]].to_numpy(), df["target"].to_numpy(str), np.random.default_rng(0)
    y = np.array(["covid", "normal", "other"])[p.argmax(1)]
    start = perf_counter()
    for _ in range(PLAIN):
        i = gen.integers(len(df), size=len(df))
        skm.accuracy_score(t[i], y[i]), skm.balanced_accuracy_score(t[i], y[i]), skm.matthews_corrcoef(t[i], y[i]), skm.cohen_kappa_score(t[i], y[i]), skm.log_loss(t[i], p[i])
        skm.precision_recall_fscore_support(t[i], y[i]), skm.roc_auc_score(t[i], p[i], multi_class="ovr", average=None)
        [skm.average_precision_score(t[i] == c, p[i, k]) for k, c in enumerate(("covid", "normal", "other"))]
    return (perf_counter() - start) / PLAIN * n_boot


def seconds(f, repeats):
    times = []
    for _ in range(repeats):
        start = perf_counter()
        f()
        times.append(perf_counter() - start)
    return median(times)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--repeats", type=int, default=3)
    args = p.parse_args()
    df, gen = made_up_predictions("three-class", patients=5_000, skill=0.5), np.random.default_rng(0)
    ours, usual = seconds(lambda: evaluate(df, "three-class", n_boot=2000), args.repeats), plain(df, 2000)
    positive, a, b = gen.random(100_000) < 0.4, gen.normal(size=100_000), gen.normal(size=100_000)
    delong = seconds(lambda: delong_test(positive, a + positive, b + positive), args.repeats)
    print(f"all scores, three classes, 2,000 draws of 5,000 patients, 10,000 films: {ours:.2f} s; below 2 asked: {'yes' if ours < 2 else 'no'}; plain loop {usual:.0f} s, {usual / ours:.0f} x")
    print(f"binary, the same: {seconds(lambda: evaluate(made_up_predictions(patients=5_000, skill=0.5), 'covid-normal', n_boot=2000), args.repeats):.2f} s")
    print(f"DeLong's test on 100,000 films: {delong:.3f} s; below 1 asked: {'yes' if delong < 1 else 'no'}")


if __name__ == "__main__": main()
