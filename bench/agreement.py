"""Whether a faster way of training comes to the same result: paired differences of test AUC over seeds.

    python bench/agreement.py precision --manifest path/to/manifest.csv --weights path/to/mobilenet_v2.pth

Each seed has its own splits and is trained twice, the slow way and the fast one; both runs are judged on the same test films. The interval of the mean difference is Student's t over the seeds.

    precision   float32 against what `--precision auto` chooses (bfloat16 on this kind of machine): 1 + 5 epochs
    draws       80 frozen epochs (soares2020's schedule), each with new augmentation, against features of 8 draws
    processes   one process against two under torchrun: 1 + 5 epochs, float32
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from scipy import stats

from covid_fastai.core import DISCLAIMER
from covid_fastai.paired import compare
from covid_fastai.runs import open_run

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")
PLAIN = (sys.executable, "-m")
FROZEN = ("--schedule", "soares2020", "--aug", "safe")
PAIRS = {  # name: launcher and flags of the slow way, launcher and flags of the fast way
    "precision": ((PLAIN, ("--precision", "fp32")), (PLAIN, ("--precision", "auto"))),
    "draws": ((PLAIN, FROZEN), (PLAIN, (*FROZEN, "--draws", "8"))),
    "processes": ((PLAIN, ("--precision", "fp32")), (TORCHRUN, ("--precision", "fp32"))),
}


def train(launcher, flags, args, seed, out):
    "A run made by the command line, as a user would make it."
    where = ("--manifest", args.manifest, "--weights", args.weights, "--arch", args.arch, "--task", args.task, "--size", str(args.size))
    subprocess.run([*launcher, "covid_fastai", "train", *where, *flags, "--seed", str(seed), "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    return open_run(out)


def one_seed(args, seed, folder):
    "Both ways on the splits of one seed: a row of the table."
    slow, fast = (train(*how, args, seed, folder/f"{seed}-{way}") for way, how in zip(("slow", "fast"), PAIRS[args.what]))
    name = "macro_auc" if "macro_auc" in slow.metrics["metrics"] else "auc"
    def text(r): return "{value:.3f} ({low:.3f} to {high:.3f})".format(**r)
    diff = compare(fast.predictions, slow.predictions, args.task)["metrics"][name]
    row = dict(seed=seed, n=slow.metrics["n"], slow=text(slow.metrics["metrics"][name]), fast=text(fast.metrics["metrics"][name]), difference=diff["value"], low=diff["low"], high=diff["high"])
    print(pd.DataFrame([row]).round(3).to_string(index=False, header=seed == args.seeds[0]), flush=True)
    return row


def interval(differences):
    "Mean difference over seeds and its 95 % interval."
    mean, error = differences.mean(), stats.sem(differences)
    return mean, *stats.t.interval(0.95, len(differences) - 1, mean, error)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("what", choices=PAIRS)
    p.add_argument("--manifest", required=True)
    p.add_argument("--weights", required=True)
    p.add_argument("--arch", default="mobilenet_v2")
    p.add_argument("--task", default="three-class")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = p.parse_args()
    print(f"{args.what}: macro AUC on test films, fast - slow; low and high: bootstrap over the test films of one seed", flush=True)
    with tempfile.TemporaryDirectory() as d: rows = pd.DataFrame([one_seed(args, seed, Path(d)) for seed in args.seeds])
    mean, low, high = interval(rows["difference"])
    print(f"mean difference over {len(rows)} seeds: {mean:+.4f} ({low:+.4f} to {high:+.4f}); {'inside' if -0.02 < low and high < 0.02 else 'NOT inside'} ±0.02\n{DISCLAIMER}")


if __name__ == "__main__": main()
