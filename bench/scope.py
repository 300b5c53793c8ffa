"""How often films that a network should not be asked about are found: by how they look, and by the network's own features.

    python bench/scope.py --bundle runs/real --films path/to/test/films --other laterals=path --other ct=path …

Each folder (or pattern) is predicted as `covid_fastai predict` does it. The table says how many files of each were refused (no image; or neither like a frontal chest film nor like the training films), and how many flagged
(one of these two), with the 95 % interval of both together; the first row, of films that are in scope, says how often that happens without need. `pictures` are photographs and drawings that come with installed packages; `made` are films that were spoiled here: noise, blank, upside down, colours inverted, a quarter.
"""
import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from covid_fastai.bundle import load_bundle
from covid_fastai.core import DISCLAIMER
from covid_fastai.intervals import wilson
from covid_fastai.predict import films_to_predict, predict_films


def pictures(folder):
    "Photographs that scikit-learn and matplotlib bring along."
    import matplotlib
    import sklearn.datasets
    found = [*Path(sklearn.datasets.__file__).parent.glob("images/*.jpg"), *Path(matplotlib.get_data_path()).glob("sample_data/*.jpg"), *Path(matplotlib.get_data_path()).glob("images/*large.png")]
    folder.mkdir()
    for p in found: (folder/p.name).write_bytes(p.read_bytes())
    return folder


def spoiled(paths, folder):
    "Name -> folder of films that were spoiled."
    draw, ways = np.random.default_rng(0), {"noise": lambda im: Image.fromarray(draw.integers(0, 256, (im.height, im.width), dtype=np.uint8)), "inverted": ImageOps.invert, "upside down": lambda im: im.rotate(180),
        "on its side": lambda im: im.rotate(90, expand=True), "a quarter": lambda im: im.crop((0, 0, im.width // 2, im.height // 2))}
    for name, change in ways.items():
        (folder/name).mkdir(parents=True)
        for p in paths: change(Image.open(p).convert("L")).save(folder/name/f"{Path(p).stem}.png")
    return {name: folder/name for name in ways}


def row(bundle, name, paths):
    table = predict_films(bundle, films_to_predict([paths]))
    refused, flagged = int((table["status"] != "ok").sum()), int((table["scope"] != "").sum())
    share = wilson(refused + flagged, len(table))
    return dict(films=name, n=len(table), refused=refused, flagged=flagged, rate=share.value, low=share.low, high=share.high)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--films", required=True, help="folder or pattern of films that are in scope and were in no training")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=PATH")
    args = parser.parse_args()
    bundle = load_bundle(args.bundle)
    with tempfile.TemporaryDirectory() as d:
        few = films_to_predict([args.films])["path"][:40]
        groups = {"in scope": args.films} | dict(o.split("=", 1) for o in args.other) | {"pictures": pictures(Path(d)/"pictures")} | spoiled(few, Path(d)/"made")
        print(pd.DataFrame([row(bundle, name, paths) for name, paths in groups.items()]).round(3).to_string(index=False))
    print(DISCLAIMER)


if __name__ == "__main__": main()
