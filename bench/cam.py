"""How fast heat maps are made, beside pytorch-grad-cam and beside a plain forward pass.

    python bench/cam.py [--films 128] [--repeats 5] [--arch resnet18 resnet50] [--quick]

Grad-CAM of the last layer of the body, random weights, films of 224 px in memory, batches of 32. pytorch-grad-cam gets each of its batch sizes in turn, and its best one counts; its own scaling of the maps to the film is left
out, since ours leaves it out as well. The plain pass is that of the same network in the same precision, without gradients. All contenders run in turn, so that a slow minute hits them all. Medians of films a second.
"""
import argparse
import platform
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from covid_fastai.cams import cam_maps
from covid_fastai.learner import choose_precision, keep_freed_memory
from covid_fastai.models import evaluation_mode, in_precision, xray_model

SIZE, BS, LIBRARY_BS = 224, 32, (1, 8, 32)


def ours(model, films, precision):
    for i in range(0, len(films), BS): cam_maps(model, films[i:i + BS], target=0, precision=precision)


def library(model, films, bs):
    with GradCAM(model, [model[0]]) as cam:
        for i in range(0, len(films), bs):
            part = films[i:i + bs]
            targets = [ClassifierOutputTarget(0)] * len(part)
            cam.outputs = cam.activations_and_grads(part.requires_grad_(True))
            cam.model.zero_grad()
            sum(t(o) for t, o in zip(targets, cam.outputs)).backward()
            recorded = cam.activations_and_grads
            np.maximum(cam.get_cam_image(part, model[0], targets, recorded.activations[0].detach().numpy(), recorded.gradients[0].numpy()), 0)


def forward(model, films, precision):
    with evaluation_mode(model), in_precision(model, precision == "bf16"), torch.inference_mode():
        for i in range(0, len(films), BS): model(films[i:i + BS])


def speeds(arch, n, repeats):
    "Films a second of each contender, a row each repetition."
    torch.manual_seed(0)
    model, films, precision = xray_model(arch, 3).eval(), torch.rand(n, 1, SIZE, SIZE), choose_precision("auto")
    contenders = {f"ours, {precision}": lambda: ours(model, films, precision), "ours, fp32": lambda: ours(model, films, "fp32"), f"forward, {precision}": lambda: forward(model, films, precision),
        "forward, fp32": lambda: forward(model, films, "fp32"), **{f"pytorch-grad-cam, batches of {bs}": lambda bs=bs: library(model, films.clone(), bs) for bs in LIBRARY_BS}}
    for run in contenders.values(): run()
    return pd.DataFrame([{name: n / timed(run) for name, run in contenders.items()} for _ in range(repeats)]), precision


def timed(run):
    start = perf_counter()
    run()
    return perf_counter() - start


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--films", type=int, default=128)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--arch", nargs="+", default=["resnet18", "resnet50"])
    p.add_argument("--quick", action="store_true", help="32 films, once: to see that it works")
    args = p.parse_args()
    if args.quick: args.films, args.repeats = 32, 1
    keep_freed_memory()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} torch threads, torch {torch.__version__}; {args.films} films, {args.repeats} repetitions")
    for arch in args.arch:
        table, precision = speeds(arch, args.films, args.repeats)
        mine, plain = table[f"ours, {precision}"], table[f"forward, {precision}"]
        best = max((c for c in table if c.startswith("pytorch")), key=lambda c: median(table[c]))
        print(f"\n{arch}, films a second\n{table.median().round(1).to_string()}")
        print(f"ours / {best}: {median(mine) / median(table[best]):.1f} ({min(mine / table[best]):.1f} to {max(mine / table[best]):.1f}); at least 6 asked")
        print(f"ours / forward pass in {precision}: {median(mine) / median(plain):.2f} ({min(mine / plain):.2f} to {max(mine / plain):.2f}); at least 0.6 asked")


if __name__ == "__main__": main()
