"""Test accuracy of this package and of plain fastai on the same splits of real films.

    python bench/accuracy.py --manifest path/to/manifest.csv --weights path/to/mobilenet_v2.pth

Both fine-tune the same pretrained MobileNetV2 for one frozen and five full epochs on the same training films of each seed, and are judged on the same test films. Plain fastai is what its
documentation shows: `ImageDataLoaders.from_df`, `Resize(224)`, `aug_transforms()`, `fine_tune(5)`.
"""
import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd
import torchvision
from fastai.vision.all import CrossEntropyLossFlat, ImageDataLoaders, Learner, Normalize, Resize, accuracy, aug_transforms, create_body, create_head, default_split, imagenet_stats, nn, set_seed

from covid_fastai.core import DISCLAIMER, get_task
from covid_fastai.manifest import read_manifest
from covid_fastai.metrics import evaluate
from covid_fastai.paired import compare
from covid_fastai.runs import RunConfig, open_run
from covid_fastai.tables import table_of
from covid_fastai.validate import train_run
from covid_fastai.weights import read_state


def ours(args, seed, out):
    "Predictions of this package: the run that `covid_fastai train` makes."
    train_run(RunConfig(args.manifest, args.task, weights=args.weights, epochs=args.epochs, seed=seed), out)
    return open_run(out)


def plain(args, films, seed):
    "Predictions of plain fastai on the same films."
    task, rows = get_task(args.task), films[films["split"] != "test"].assign(is_valid=lambda d: d["split"] == "valid")
    set_seed(seed)
    dls = ImageDataLoaders.from_df(rows, path="/", fn_col="path", label_col="target", valid_col="is_valid", bs=32, num_workers=0,
        item_tfms=Resize(224), batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)])
    net = torchvision.models.mobilenet_v2()
    net.load_state_dict(read_state(args.weights))
    learn = Learner(dls, nn.Sequential(create_body(net, cut=-1), create_head(1280, len(task.classes))), CrossEntropyLossFlat(), splitter=default_split, metrics=accuracy)
    learn.freeze()
    learn.fine_tune(args.epochs)
    test = films[films["split"] == "test"].reset_index(drop=True)
    p = learn.get_preds(dl=dls.test_dl(test))[0].numpy()
    return table_of(test[["filename", "patient_id", "group", "split", "target"]].assign(model="plain fastai"), p, list(dls.vocab))


def one_seed(args, seed, folder):
    "Both on the splits of one seed: a row of the table."
    start = time.time()
    run = ours(args, seed, folder/str(seed))
    middle = time.time()
    films = read_manifest(args.manifest).drop(columns="split", errors="ignore").merge(run.films[["filename", "group", "split"]], on="filename")
    theirs = plain(args, get_task(args.task).select(films), seed)
    a, b = run.metrics, evaluate(theirs, args.task)
    diff = compare(run.predictions, theirs, args.task)["metrics"]["accuracy"]
    def text(r): return "{value:.3f} ({low:.3f} to {high:.3f})".format(**r["metrics"]["accuracy"])
    return dict(seed=seed, n=a["n"], ours=a["metrics"]["accuracy"]["value"], ours_interval=text(a), plain=b["metrics"]["accuracy"]["value"], plain_interval=text(b),
        difference="{value:+.3f} ({low:+.3f} to {high:+.3f})".format(**diff), minutes_ours=(middle - start) / 60, minutes_plain=(time.time() - middle) / 60)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--manifest", required=True)
    p.add_argument("--weights", required=True)
    p.add_argument("--task", default="three-class")
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as d: rows = pd.DataFrame([one_seed(args, seed, Path(d)) for seed in args.seeds])
    print(rows.drop(columns=["ours", "plain"]).round(1).to_string(index=False))
    print(f"mean test accuracy over {len(rows)} seeds: this package {rows['ours'].mean():.3f}, plain fastai {rows['plain'].mean():.3f}\n{DISCLAIMER}")


if __name__ == "__main__": main()
