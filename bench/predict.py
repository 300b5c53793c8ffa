"""How fast films are predicted from their files, beside plain fastai.

    python bench/predict.py --films path/to/folder

MobileNetV2 and ResNet18 with random weights at 224 px on the films of a folder, `covid_fastai.predict.predicted`: reading, looking at each film, network, table. The network is asked by ONNX Runtime (after `covid_fastai bundle onnx`), the same
without the look at each film (`--no-check`), and by torch; reading and networks alone. Beside it fastai's `learn.get_preds(test_dl)` with 0, 1 and 2 worker processes, and `learn.predict` film by film. Films a second, and ratios to the best of
fastai's; with --bundle, what bfloat16 changes; with --memory, memory at the peak for so many films and for twenty times as many.
"""
import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torchvision
from fastai.vision.all import ImageDataLoaders, Learner, Normalize, Resize, CrossEntropyLossFlat, create_body, create_head, imagenet_stats
from torch import nn

from covid_fastai.bundle import load_bundle, save_bundle
from covid_fastai.committee import answers
from covid_fastai.core import DISCLAIMER, kept_memory
from covid_fastai.exports import add_onnx, answerer
from covid_fastai.models import film_batch, xray_model
from covid_fastai.predict import PredictPlan, films_to_predict, predicted
from covid_fastai.radiograph import read_radiograph, resize_film

PLANS = {"onnx": PredictPlan(runtime="onnx"), "onnx, no check": PredictPlan(runtime="onnx", check=False), "torch": PredictPlan(runtime="torch"), "torch, no check": PredictPlan(runtime="torch", check=False), "bf16, no check": PredictPlan(precision="bf16", check=False)}
SPEC = dict(head="fastai", classes=["covid", "normal", "other"], task="three-class", size=224, fit="squish")


def made_bundle(arch, squares, folder):
    "A bundle with random weights and an ONNX file; batch norm has seen some films, so that logits differ between films."
    model = xray_model(arch, 3, "fastai", 224)
    for m in model.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm): m.reset_running_stats(); m.momentum = None
    with torch.no_grad(): [model.train()(film_batch(model, squares)) for _ in range(3)]
    save_bundle(model, SPEC | dict(arch=arch), folder/arch)
    return add_onnx(folder/arch)


def rate(n, work):
    "Films a second."
    start = time.perf_counter()
    work()
    return n / (time.perf_counter() - start)


def plain_learner(arch, paths):
    rows = pd.DataFrame(dict(path=paths, label=np.resize(["a", "b", "c"], len(paths)), is_valid=[i % 2 == 0 for i in range(len(paths))]))
    dls = ImageDataLoaders.from_df(rows, path="/", fn_col=0, label_col=1, valid_col="is_valid", bs=32, num_workers=0, item_tfms=Resize(224), batch_tfms=[Normalize.from_stats(*imagenet_stats)])
    body = create_body(getattr(torchvision.models, arch)(), cut=-1 if arch == "mobilenet_v2" else -2)
    return Learner(dls, nn.Sequential(body, create_head(1280 if arch == "mobilenet_v2" else 512, 3)), CrossEntropyLossFlat())


def of_arch(arch, paths, folder):
    squares = np.stack([resize_film(read_radiograph(p), 224) for p in paths[:64]])
    bundle, films = made_bundle(arch, squares, folder), films_to_predict(paths)
    learn, n = plain_learner(arch, paths), len(paths)
    out = {name: rate(n, lambda: list(predicted(bundle, films, plan))) for name, plan in PLANS.items()}
    out["reading"] = rate(64, lambda: [bundle.square(read_radiograph(p)) for p in paths[:64]])
    for name, how in dict(onnx=("onnx", 0, "fp32"), torch=("torch", 0, "fp32"), bf16=("torch", 0, "bf16")).items():
        ask, _ = answerer(bundle, *how)
        with kept_memory(): out[f"network, {name}"] = rate(128, lambda: [bundle.answer(squares[i:i + 32], ask) for i in (0, 32, 0, 32)])
    with learn.no_bar(), learn.no_logging():
        for workers in (0, 1, 2): out[f"get_preds, {workers} workers"] = rate(n, lambda: learn.get_preds(dl=learn.dls.test_dl(paths, num_workers=workers)))
        out["learn.predict"] = rate(64, lambda: [learn.predict(p) for p in paths[:64]])
    best = max(v for k, v in out.items() if "pred" in k)
    ratios = {f"{name} / fastai": out[name] / best for name in PLANS}
    return dict(name=arch, **out, **ratios, of_slower_part=out["onnx, no check"] / min(out["reading"] * 2, out["network, onnx"]))


def changed(path, films):
    "What bfloat16 changes in the answers of a trained bundle."
    bundle = load_bundle(path)
    squares = np.stack([bundle.square(read_radiograph(p)) for p in films])
    fp32, bf16 = (np.concatenate([answers(bundle.model, part, bf16)[0] for part in np.array_split(squares, max(1, len(squares) // 64))]) for bf16 in (False, True))
    off = np.abs(fp32 - bf16).max(1)
    return f"{path}, {bundle.spec['arch']}, in bfloat16: {(fp32.argmax(1) != bf16.argmax(1)).sum()} of {len(off)} films called otherwise; a probability changes by {np.median(off):.4f} (median), {off.max():.2f} at most"


def memory(arch, paths, n, folder):
    "MiB at the peak of a process that predicts n films."
    code = f"import resource; from covid_fastai.bundle import load_bundle; from covid_fastai.predict import *; films = films_to_predict({list(map(str, paths))!r}); films = films.iloc[[i % len(films) for i in range({n})]].reset_index(drop=True); predict_to_file(load_bundle({str(folder/arch)!r}), films, {str(folder/'m.csv')!r}, PredictPlan(check=False)); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    return int(subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True).stdout.split()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, required=True, help="folder of films")
    parser.add_argument("--n", type=int, default=512, help="how many of them (512)")
    parser.add_argument("--repeats", type=int, default=1, help="repetitions, of which the median is printed (1)")
    parser.add_argument("--bundle", type=Path, nargs="*", default=[], help="trained bundles: what bfloat16 changes in their answers, on all films of the folder")
    parser.add_argument("--memory", type=int, default=0, help="also memory for so many films and for twenty times as many (0: not)")
    args = parser.parse_args()
    films = sorted(p for p in args.films.iterdir() if p.is_file())
    for path in args.bundle: print(changed(path, films))
    paths = films[:args.n]
    with tempfile.TemporaryDirectory() as d:
        rows = [of_arch(arch, paths, Path(d)) for _ in range(args.repeats) for arch in ("mobilenet_v2", "resnet18")]
        print(pd.DataFrame(rows).groupby("name").median().round(2).T.to_string())
        if args.memory: print("MiB at the peak:", {n: memory("mobilenet_v2", paths[:64], n, Path(d)) for n in (args.memory, 20 * args.memory)})
    print(DISCLAIMER)


if __name__ == "__main__": main()
