"""Draws docs/verdict.png, the first picture of the README: `python tools/picture.py`.

A study of phantoms in which every film with COVID-19 carries a letter and no disease can be seen; a small network that learns from it; where it looks; and what the control gate says. Half a minute, no data.
"""
import tempfile
from pathlib import Path

from fastprogress import fastprogress

from covid_fastai.blocks import xray_dls
from covid_fastai.cams import cam_maps
from covid_fastai.controls import stand_of
from covid_fastai.core import DISCLAIMER
from covid_fastai.figures import PALETTE, new_figure, save_figure, style
from covid_fastai.gate import MOST, gate, run_controls
from covid_fastai.interpret import overlay_cam
from covid_fastai.learner import xray_learner
from covid_fastai.manifest import read_manifest
from covid_fastai.phantom import phantom_study
from covid_fastai.radiograph import read_radiograph
from covid_fastai.schedules import get_schedule
from covid_fastai.splits import with_splits
from covid_fastai.training import fit_phases
from covid_fastai.validate import predictions

ROOT = Path(__file__).resolve().parents[1]
SHOWN = {"THE RESULT": "the network", "frame": "the outer edge alone", "no lungs": "the film without its lungs", "mask": "the lungs' outline", "size": "the picture's size"}  # Row of the gate -> what the picture calls it


def judged(folder):
    "The network, its films, its predictions and the verdict."
    phantom_study(folder, 120, size=256, seed=0, classes=("covid", "normal"), visibility=0.0, shortcuts=dict(letter=1.0))
    films = with_splits(read_manifest(Path(folder)/"manifest.csv"), seed=0, search=False)
    learn = xray_learner(xray_dls(films, "covid-normal", size=128, bs=16), "small_cnn", head="linear", seed=0)
    with learn.no_bar(), learn.no_logging(): fit_phases(learn, get_schedule(epochs=12, freeze_epochs=0).phases(False), 0)
    preds = predictions(learn, films)
    stand = stand_of(preds, films)
    return learn, films, preds, gate(preds, stand, run_controls(stand, learn))


def drawn(learn, films, preds, verdict):
    "Film, heat map, verdict."
    row = preds[(preds["split"] == "test") & (preds["target"] == "covid")].sort_values("p_covid").iloc[-1]
    path = films.set_index("filename").loc[row["filename"], "path"]
    film, cam = read_radiograph(path), cam_maps(learn.model, learn.dls.cache.films([path]))[0]
    with style():
        fig = new_figure(9.6, 3.4, note=f"Phantoms, no patient. {DISCLAIMER}")
        left, middle, right = fig.subplots(1, 3, width_ratios=(1, 1, 1.25))
        picture(left, film, f"called COVID-19, p = {row['p_covid']:.3f}")
        picture(middle, overlay_cam(film, cam), "where the network looked")
        bars(right, verdict)
    return fig


def picture(ax, pixels, title):
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    ax.set_axis_off()
    ax.set_title(title)


def bars(ax, verdict):
    "The result and some of its controls."
    found = verdict["controls"].set_index("control").to_dict("index") | {"THE RESULT": verdict["result"]}
    names = [*SHOWN][::-1]
    for i, name in enumerate(names):
        at, color = found[name], PALETTE["blue" if name == "THE RESULT" else "vermillion"]
        ax.plot([at["low"], at["high"]], [i, i], color=color)
        ax.plot(at["auc"], i, "o", color=color, ms=6)
    ax.axvspan(0.5 + MOST * (verdict["result"]["auc"] - 0.5), 1.02, color=PALETTE["vermillion"], alpha=0.1, lw=0)
    ax.set(yticks=range(len(names)), yticklabels=[SHOWN[n] for n in names], xlim=(0, 1.02), ylim=(-0.6, len(names) - 0.4), xlabel=f"AUC (shaded: {MOST:.0%} of the result)")
    ax.axvline(0.5, color="0.4", lw=1, ls=":")
    ax.set_title(f"control gate: {verdict['verdict']}", fontweight="bold", color=PALETTE["vermillion"])


def main():
    fastprogress.progress_bar = fastprogress.ProgressBar
    path = ROOT/"docs"/"verdict.png"
    with tempfile.TemporaryDirectory() as folder: save_figure(drawn(*judged(folder)), path, dpi=110)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__": main()
