"""How well and how fast copies of films are found: every kind of change on phantoms, and the search among the hashes of 100,000 films.

    python bench/duplicates.py [--phantoms 400] [--seeds 1 2 3] [--films 100000] [--out duplicates.csv] [--quick]

First table: each phantom (one film of each patient) stands beside a changed copy of itself. Recall is the part of the copies that is found, precision the part of the found pairs that are copies; both with n and a 95 % interval (Wilson).
The changes: JPEG of quality 50 to 90; resized by 0.5 to 1.5; 0 to 10 % cut off each side; windowed (gray curve 0.67 to 1.5, contrast 0.7 to 1.3, brightness -0.1 to 0.1); the negative; everything but the negative in turn.

Second table: the hashes of `--films` films are made up with the variances and covariances that the phantoms' own hashes have. Each twentieth film is a copy: its whole is as near to a random cut of its original as the copies of the first table that
had every change (the hardest kind), and none of its own cuts is near the original, which leaves the search one way out of two. Measured are the search for candidates, the groups, and the peak memory of the whole process.

Third table: the same copies among few films, half of which are copies: the least cosine of a copy's hash, and the share of the other pairs above the bound of candidates (`LEAST_OF_FEW`).
"""
import argparse
import io
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from statsmodels.stats.proportion import proportion_confint

from covid_fastai.core import rng, write_csv
from covid_fastai.hashes import LEAST_OF_FEW, LENGTH, SCALE, components, film_hashes, hash_candidates, similar_pairs
from covid_fastai.phantom import phantom_study
from covid_fastai.radiograph import read_radiograph

CHUNK = 1000  # Made-up films at a time


def jpeg(im, gen):
    im.save(buffer := io.BytesIO(), "JPEG", quality=int(gen.integers(50, 91)))
    return Image.open(buffer)


def resize(im, gen):
    by = gen.uniform(0.5, 1.5)
    return im.resize([round(side * by) for side in im.size])


def cut(im, gen):
    left, top, right, bottom = gen.uniform(0, 0.1, 4) * [im.width, im.height, im.width, im.height]
    return im.crop((round(left), round(top), round(im.width - right), round(im.height - bottom)))


def window(im, gen):
    x = ((np.asarray(im) / 255) ** np.exp(gen.uniform(-0.4, 0.4)) - 0.5) * gen.uniform(0.7, 1.3) + 0.5 + gen.uniform(-0.1, 0.1)
    return Image.fromarray((x.clip(0, 1) * 255).astype(np.uint8))


def negative(im, gen): return Image.fromarray(255 - np.asarray(im))


def everything(im, gen): return jpeg(window(resize(cut(im, gen), gen), gen), gen)


CHANGES = (jpeg, resize, cut, window, negative, everything)


def thumb(im): return np.asarray(im.resize((128, 128), Image.Resampling.BOX))


def phantoms(folder, n, seed):
    "Phantoms of n patients, as Pillow images."
    study = phantom_study(Path(folder)/f"study-{seed}", n, size=256, films_per_patient=(1, 1), seed=seed)
    return [Image.fromarray(read_radiograph(Path(folder)/f"study-{seed}"/"images"/f)) for f in study.filename]


def beside_copies(films, change, seed):
    "Thumbnails of films, then of their changed copies."
    return np.stack([thumb(f) for f in films] + [thumb(change(f, rng(seed, change.__name__, k))) for k, f in enumerate(films)])


def found_copies(films, change, seed):
    "What is found of one kind of change."
    start, n = time.perf_counter(), len(films)
    pairs = similar_pairs(beside_copies(films, change, seed))
    right = int((pairs["j"] - pairs["i"] == n).sum())
    return dict(change=change.__name__, n=n, right=right, pairs=len(pairs), seconds=time.perf_counter() - start)


def summary(rows):
    "Recall and precision of each change, over all seeds, with their intervals."
    table = pd.DataFrame(rows).groupby("change", sort=False)[["n", "right", "pairs", "seconds"]].sum()
    table.loc["all"] = table.sum()
    for score, of in (("recall", "n"), ("precision", "pairs")):
        low, high = proportion_confint(table["right"], table[of], method="wilson")
        table[score], table[f"{score}_low"], table[f"{score}_high"] = table["right"] / table[of], low, high
    return table.reset_index().astype(dict(n=int, right=int, pairs=int))


def as_bytes(hashes): return np.clip(np.rint(hashes * SCALE), -127, 127).astype(np.int8)


def unit(x): return x / np.linalg.norm(x, axis=-1, keepdims=True)


def made_up(films, n, seed):
    "Hashes of n made-up films of which the last twentieth are copies of the first, and the copies' true cosines."
    hashes, k = film_hashes(beside_copies(films, everything, seed)) / np.float32(SCALE), len(films)
    likeness = np.abs(np.einsum("nd,ncd->nc", hashes[k:, 0], hashes[:k])).max(1)
    gen, model = rng(seed, "made up"), hashes[:k].reshape(k, -1) / np.sqrt(k)
    out = np.empty((n, *hashes.shape[1:]), np.int8)
    for rows in np.split(np.arange(n), range(CHUNK, n, CHUNK)):
        out[rows] = as_bytes(unit((gen.standard_normal((len(rows), k), np.float32) @ model).reshape(len(rows), -1, LENGTH)))
    cosine = gen.choice(likeness, n // 20)
    of, apart = out[np.arange(n // 20), gen.integers(out.shape[1], size=n // 20)], out[n - n // 20:, 0]
    out[n - n // 20:, 0] = as_bytes(unit(unit(of) * cosine[:, None] + unit(apart) * np.sqrt(1 - cosine[:, None] ** 2)))
    return out


def search(hashes):
    "Seconds, memory and what is found among made-up hashes."
    n, copies = len(hashes), len(hashes) // 20
    start, cpu = time.perf_counter(), time.process_time()
    pairs = hash_candidates(hashes)
    group = components(np.arange(n).astype(str), pairs[["whole", "cut"]])
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    planted = ((pairs["whole"] - pairs["cut"]).abs() == n - copies).sum()
    return dict(films=n, cores=os.cpu_count(), load=os.getloadavg()[0], seconds=seconds, cpu_seconds=cpu, peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, candidates=len(pairs),
        groups=int((np.bincount(group) > 1).sum()), copies=copies, copies_found=planted / copies)


def among_few(films, n, seed):
    "Cosines of the copies, and of the other pairs that are candidates, in sets of n films; how many other pairs there are."
    sets = [rng(seed, "few", n, k).choice(len(films), n // 2, replace=False) for k in range(len(films) // n * 4)]
    pairs = pd.concat([hash_candidates(film_hashes(beside_copies([films[i] for i in rows], everything, seed + k))) for k, rows in enumerate(sets)])
    copy = (pairs["whole"] - pairs["cut"]).abs() == n // 2
    copies, others = len(sets) * (n // 2), len(sets) * (n * (n - 1) // 2 - n // 2)
    return dict(films=n, copies=copies, candidates=int(copy.sum()), least=pairs["cosine"].abs()[copy].min(), bound=LEAST_OF_FEW, others=others, others_share=(~copy).sum() / max(others, 1))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--phantoms", type=int, default=400, help="films a seed")
    p.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    p.add_argument("--films", type=int, default=100_000, help="made-up films; 0 for none")
    p.add_argument("--out", type=Path, help="the first table as CSV")
    p.add_argument("--quick", action="store_true", help="60 phantoms, one seed, 6,000 made-up films")
    args = p.parse_args()
    if args.quick: args.phantoms, args.seeds, args.films = 60, [1], 6000
    with tempfile.TemporaryDirectory() as folder:
        if args.films: print(pd.Series(search(made_up(phantoms(folder, min(args.phantoms, 400), 0), args.films, 0))).round(3).to_string(), flush=True)
        rows = [found_copies(films, change, seed) for seed in args.seeds for films in [phantoms(folder, args.phantoms, seed)] for change in CHANGES]
        some = phantoms(folder, min(args.phantoms, 400), 0)
        few = pd.DataFrame([among_few(some, n, 0) for n in (2, 4, 10, 20, 34, 50)])
    table = summary(rows)
    print(table.round(4).to_string(index=False), few.round(3).to_string(index=False), sep="\n\n")
    if args.out: write_csv(args.out, table)


if __name__ == "__main__": main()
