"""How fast this package trains, beside plain fastai, Keras and the limits of the machine.

    python bench/train.py --manifest path/to/manifest.csv [--quick] [--only NAME ...] [--keras PYTHON]

All networks have random weights and see the same training films of the splits of seed 0. Each contender runs in a process of its own, one after the other, and all of them once before any runs
again, so that a slow minute of the machine hits them all. Keras takes part where `--keras` names a Python that has it: `python -m venv tf && tf/bin/pip install tensorflow-cpu`, then
`--keras tf/bin/python`. `--quick` runs everything on a handful of films, to see that it works.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import fastai
import numpy as np
import pandas as pd
import torch
import torchvision
from sklearn.model_selection import train_test_split

from covid_fastai.cache import CACHE_VARIABLE
from covid_fastai.core import get_task
from covid_fastai.manifest import read_manifest
from covid_fastai.splits import with_splits
from train_contenders import BS, SIZE, SOARES, TASK, WARM, Amount, Contender

QUICK = Amount(films=64, frozen=30, memory=1000, epochs=4, draws=2, repeats=1)
WORKERS = 0, os.cpu_count()  # plain fastai is tried with both


@dataclass(frozen=True)
class Row:
    "Two contenders beside each other."
    what: str
    peer: Contender
    ours: tuple  # Contenders whose seconds are added
    asked: float | None = None  # Least ratio
    times: float = 1.0  # How many times the peer's seconds are taken
    films: int = 0  # To show films a second; 0 to show seconds


def full_rows(arch, n, asked):
    plain, ours = Contender("full_plain", arch), Contender("full_ours", arch)
    return [Row(f"full epoch, {arch} / plain fastai", plain, (ours,), asked, films=n),
        Row("  the same with batch norm trained", plain, (Contender("full_ours_bn", arch),), films=n),
        Row("  first epoch, films decoded / plain fastai", plain, (ours, Contender("decode")), films=n),
        Row(f"full epoch, {arch} / compute only", Contender("compute", arch), (ours,), 1 / 1.15, films=n)]


def frozen_rows(arch, amount, share):
    body, one, many, e = Contender("forward", arch), Contender("frozen_ours", arch, "none"), Contender("frozen_ours", arch), amount.epochs
    return [Row(f"{e} frozen epochs, {arch} / plain fastai, 1 epoch x {e}", Contender("frozen_plain", arch, "none"), (one,), 100),
        Row(f"  augmented, {amount.draws} draws / plain fastai, 1 epoch x {e}", Contender("frozen_plain", arch), (many,), 20),
        Row(f"  augmented, {amount.draws} draws / {amount.draws} forward passes", body, (many,), 1 / 1.3, amount.draws + share),
        Row("  not augmented / 1 forward pass", body, (one,), None, 1 + share)]


def table_rows(args, amount, share):
    "What is compared; `share` is the number of validation films for each training film."
    n, e = amount.films // BS * BS, amount.epochs
    rows = [*full_rows("resnet18", n, 3), *([] if args.quick else full_rows("resnet50", n, 3.5)), *frozen_rows("resnet50", amount, share), *([] if args.quick else frozen_rows("vgg16", amount, share))]
    if args.keras: rows.append(Row(f"{e} frozen epochs, vgg16 / Keras, 1 epoch x {e}", Contender("keras", "vgg16", "none"), (Contender("frozen_ours", "vgg16", "none"),)))
    gpu = [Contender(who, "resnet50", device="cuda") for who in ("full_plain", "full_ours")]
    return [*rows, Row("full epoch, resnet50, GPU / plain fastai, fp16", gpu[0], (gpu[1],), 3, films=args.n_train // BS * BS)] if torch.cuda.is_available() else rows


def heads(rows):
    "On each frozen body: fastai's head, which both sides of the table have, and the head of the paper."
    return [Contender("head", arch, "none", head=name) for arch in dict.fromkeys(r.peer.arch for r in rows if r.peer.who == "forward") for name in ("fastai", "soares2020")]


def chosen(rows, only):
    "The contenders of a table in their order, or those that are named."
    contenders = {str(c): c for c in [c for r in rows for c in (r.peer, *r.ours)] + heads(rows) + [Contender("memory")]}
    unknown = sorted(set(only) - set(contenders))
    if unknown: sys.exit(f"no contender {', '.join(unknown)}; there are {', '.join(contenders)}")
    return [contenders[name] for name in contenders if not only or name in only]


def run_one(c, args, amount, folder, workers):
    "The number of a contender, measured in a process of its own; nan when it fails, after its error."
    films = "all" if c.device == "cuda" else "frozen" if c.who in ("frozen_plain", "frozen_ours", "forward", "head", "keras") else "full"
    job = json.dumps(dict(contender=asdict(c), films=f"{folder}/{films}.csv", amount=asdict(amount), workers=workers, size=SIZE, bs=BS, lr=SOARES.lr))
    python, script = (args.keras, "keras_peer.py") if c.who == "keras" else (sys.executable, "train_contenders.py")
    done = subprocess.run([python, str(Path(__file__).with_name(script)), job], capture_output=True, text=True, env={**os.environ, CACHE_VARIABLE: f"{folder}/cache"})
    if done.returncode: print(f"{c} failed:\n{done.stderr[-3000:]}", file=sys.stderr)
    return float("nan") if done.returncode else json.loads(done.stdout.splitlines()[-1])


def run_all(contenders, args, amount, folder):
    "The numbers of each contender; plain fastai keeps the number of workers that was better in the first repetition."
    found, best, start = {c: [] for c in contenders}, {}, perf_counter()
    for i in range(amount.repeats):
        for c in contenders:
            if c.who == "memory" and i: continue
            workers = WORKERS if "plain" in c.who else (0,)
            tried = {w: run_one(c, args, amount, folder, w) for w in ([best[c]] if i else workers)}
            best[c] = min(tried, key=tried.get)
            found[c].append(tried[best[c]])
            text = ", ".join(f"{t:.2f}" + f" with {w} workers" * (len(workers) > 1) for w, t in tried.items())
            print(f"{(perf_counter() - start) / 60:5.1f} min, repetition {i + 1}: {c} {text}", flush=True)
    return found


def shown(row, found):
    "A row as it is printed."
    peer, ours = np.array(found[row.peer]) * row.times, np.sum([found[c] for c in row.ours], axis=0)
    ratio, each = median(peer) / median(ours), peer / ours
    def text(seconds): return f"{row.films / median(seconds):.1f} films/s" if row.films else f"{median(seconds):.1f} s"
    return {"this package / beside": f"{row.what:<64}", "this package": text(ours), "beside": text(peer), "ratio": f"{ratio:.2f}", "range": f"{min(each):.2f} to {max(each):.2f}",
        "at least": f"{row.asked:.2f}" if row.asked else "", "met": ("yes" if ratio >= row.asked else "no") if row.asked else ""}


def parts(found, amount):
    "Lines about single contenders."
    n = amount.frozen // BS * BS
    for c, v in found.items():
        if c.who == "decode": yield f"decoding, once a film: {median(v) / amount.films * 1000:.1f} ms"
        if c.who == "memory": yield f"peak memory with {amount.memory} films of {SIZE} px in the cache: {v[0]:.2f} GiB; below 2 asked: {'yes' if v[0] < 2 else 'no'}"
        if c.who == "forward": yield f"body of {c.arch}: {median(v) / n * 1000:.1f} ms a film, once for each draw (12 for ResNet50 asked)"
        if c.who == "head": yield f"head of {c.head} on {c.arch}: {median(v) / n * 1000:.3f} ms a film and epoch, fastai's loop and validation included (0.1 asked)"


def machine():
    "What the numbers depend on."
    info = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(": ")[1] for line in info if line.startswith("model name")), platform.processor())
    bf16 = [k for k in ("avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(k)]
    return (f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, bf16 instructions: {', '.join(bf16) or 'none'}, GPU: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}\n"
        f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}, fastai {fastai.__version__}")


def some(films, split, n):
    "So many films of a split, the classes in their proportion."
    rows = films[films["split"] == split]
    return rows if n >= len(rows) else train_test_split(rows, train_size=n, stratify=rows["target"], random_state=0)[0]


def write_films(films, amount, folder):
    "The films that all contenders see; how many validation films there are for each training film."
    n = films["split"].value_counts()
    share = n["valid"] / n["train"]
    for name, k in dict(full=amount.films, frozen=amount.frozen, all=n["train"]).items():
        pd.concat([some(films, "train", k), some(films, "valid", round(k * share))]).to_csv(folder/f"{name}.csv", index=False)
    return share


NOTES = """Ratio: peer's median seconds over ours; the range is that of single repetitions. "1 epoch x N" is one measured epoch with its validation, times N: extrapolated; this package ran all N.
A full epoch is training and validation, after {warm} batches of another, films in the cache; films/s counts training films. This package holds the body's batch norm there, as it does with pretrained weights; plain
fastai trains it, its default, also in a frozen body. {films} training films in a full epoch, {frozen} in the frozen protocol (soares2020: Adam at 0.001), with their share of validation films; batches of 32.
Whether results agree with those of ordinary training is measured by bench/agreement.py."""


def print_results(rows, found, amount):
    ready = [shown(r, found) for r in rows if {r.peer, *r.ours} <= found.keys()]
    print("", *([pd.DataFrame(ready).to_string(index=False, justify="left")] if ready else []), "", *parts(found, amount), NOTES.format(warm=WARM, **asdict(amount)), sep="\n")
    if amount.epochs == QUICK.epochs: print("QUICK: a handful of films, once. These numbers prove nothing.")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--manifest", required=True, help="films, as for `covid_fastai train`")
    p.add_argument("--quick", action="store_true", help="a handful of films, once")
    p.add_argument("--only", nargs="+", default=[], metavar="NAME", help="contenders, such as frozen_ours-vgg16-none; a wrong name lists them")
    p.add_argument("--keras", metavar="PYTHON", help="a Python that has TensorFlow")
    for name in ("films", "frozen", "repeats"): p.add_argument(f"--{name}", type=int, help=f"{getattr(Amount, name)} by default")
    args = p.parse_args()
    amount = replace(QUICK if args.quick else Amount(), **{k: v for k, v in vars(args).items() if k in ("films", "frozen", "repeats") and v})
    films = get_task(TASK).select(with_splits(read_manifest(args.manifest)))[["path", "label", "finding", "target", "split"]]
    args.n_train = int((films["split"] == "train").sum())
    amount = replace(amount, films=min(amount.films, args.n_train), frozen=min(amount.frozen, args.n_train))
    with tempfile.TemporaryDirectory() as d:
        share = write_films(films, amount, Path(d))
        rows = table_rows(args, amount, share)
        contenders = chosen(rows, args.only)
        print(f"{machine()}\n{args.n_train} training films; {len(contenders)} contenders, {amount.repeats} repetitions", flush=True)
        print_results(rows, run_all(contenders, args, amount, Path(d)), amount)


if __name__ == "__main__": main()
