"What the scores of heat maps are worth: on phantoms, whose lesions and letters are known, and in a process that asks for a thousand maps."
import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from covid_fastai.blocks import xray_dls
from covid_fastai.cams import METHODS, cam_maps, features_and_gradients
from covid_fastai.core import rng
from covid_fastai.explanations import MapPlan, film_explanations, forgotten, rank_correlation, score_explanations, shift_correlation, square_cams
from covid_fastai.learner import xray_learner
from covid_fastai.manifest import read_manifest
from covid_fastai.models import xray_model
from covid_fastai.phantom import phantom_study
from covid_fastai.radiograph import read_radiograph, resize_film
from covid_fastai.schedules import get_schedule
from covid_fastai.splits import with_splits
from covid_fastai.training import fit_phases
from covid_fastai.validate import predictions

LETTER = ("letter", 0.04, 0.04, 0.16, 0.20)  # left, top, right, bottom of the planted letter, in sides


def trained(folder, weights, classes, patients, size, epochs, **looks):
    "ResNet18 up to its third layer, fine-tuned on phantoms: the learner, and its predictions of the test films with `path` and `mask`."
    phantom_study(folder, patients, size=size, classes=classes, seed=0, **looks)
    films = with_splits(read_manifest(folder/"manifest.csv"), seed=0, search=False)
    learn = xray_learner(xray_dls(films, "three-class" if len(classes) == 3 else "covid-normal", size=size, bs=16), "resnet18_layer3", weights, head="linear", seed=0)
    with learn.no_bar(), learn.no_logging(): fit_phases(learn, get_schedule(epochs=epochs, freeze_epochs=1).phases(), 0)
    preds = predictions(learn, films).merge(films[["filename", "path", "mask"]])
    test = preds[preds["split"] == "test"]
    assert roc_auc_score(test["target"] == "covid", test["p_covid"]) >= 0.97
    return learn, test


def scores_of(learn, preds, **plan): return score_explanations(film_explanations(learn, preds, MapPlan(**plan)), 500).set_index("score")


@pytest.fixture(scope="module")
def finder(real_weights, tmp_path_factory):
    "A network that tells three classes apart by their lesions."
    return trained(tmp_path_factory.mktemp("lesions")/"study", real_weights, ("covid", "normal", "other"), 240, 128, 10)


@pytest.mark.real
@pytest.mark.slow
def test_the_hottest_place_is_in_a_lesion(finder):
    learn, preds = finder
    scores = scores_of(learn, preds[preds["target"] != "normal"])
    hit, ratio = scores.loc["lesion_hit"], scores.loc["lesion_ratio"]
    assert hit["n"] >= 60 and hit["value"] >= 0.9 and hit["low"] > 4 * hit["chance"], hit
    assert ratio["low"] > 1.5 and scores.loc["gap", "low"] > 0, scores


@pytest.mark.real
@pytest.mark.slow
def test_maps_of_a_network_that_forgot_are_others(finder):
    "A hundred shuffles: of each film the map stays when the film moves, and goes when the weights are shuffled."
    learn, preds = finder
    rows = preds[preds["target"] != "normal"].head(5)
    films, codes = np.stack([resize_film(read_radiograph(p), 128) for p in rows["path"]]), [list(learn.dls.vocab).index(c) for c in rows["pred"]]
    cams = square_cams(cam_maps(learn, films, target=codes), 128)
    stays = shift_correlation(learn, films, cams, codes)
    assert stays.min() > 0.9
    for seed in range(100):
        *_, (_, shuffled) = forgotten(learn, films, seed)
        goes = rank_correlation(cams, square_cams(cam_maps(shuffled, films, target=codes), 128))
        assert (np.nan_to_num(goes) < stays - 0.1).all() and abs(np.nanmedian(goes)) < 0.4, seed


@pytest.mark.real
@pytest.mark.slow
def test_a_planted_letter_is_found(real_weights, tmp_path):
    "No lesion can be seen, and a letter goes with COVID-19: the map holds more than five times its area of it, and the lungs hold less than theirs."
    learn, preds = trained(tmp_path/"study", real_weights, ("covid", "normal"), 160, 128, 4, visibility=0.0, shortcuts=dict(letter=1.0))
    scores = scores_of(learn, preds[preds["target"] == "covid"], boxes=(LETTER,))
    assert scores.loc["letter_ratio", "low"] >= 5 and scores.loc["letter_hit", "low"] > 0.85, scores
    assert scores.loc["lung_ratio", "high"] < 1 and scores.loc["lung_hit", "high"] < scores.loc["lung_hit", "chance"], scores


def resident(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_thousand_maps_leave_nothing_behind():
    model, films = xray_model("small_cnn", 3), rng(0, "films").integers(0, 256, (8, 96, 96), dtype=np.uint8)
    def hooks(): return sum(len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    def tensors():
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
    def ask(times):
        for i in range(times): cam_maps(model, films, list(METHODS)[i % len(METHODS)], target=i % 3, precision=("fp32", "bf16")[i % 2])
    ask(100)
    before, resident_before = (hooks(), tensors()), resident()
    ask(1000)
    assert (hooks(), tensors()) == before
    features, _ = features_and_gradients(model, films)
    assert resident() - resident_before < 250 * features.nbytes  # a quarter of what a map a call would leave
