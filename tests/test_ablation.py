"No test row and no unseen source takes part in any choice: what is poisoned there changes nothing but its own scores."
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from covid_fastai import ablation
from covid_fastai.ablation import AblationPlan, ablate, lean_fit
from covid_fastai.blocks import xray_dls
from covid_fastai.core import read_table, write_csv, write_json
from covid_fastai.fits import Fit
from covid_fastai.manifest import read_manifest
from covid_fastai.phantom import phantom_study
from covid_fastai.radiograph import read_radiograph, resize_film
from covid_fastai.runs import RunConfig
from covid_fastai.splits import k_folds
from covid_fastai.tables import table_of

SITES = ("site_a", "site_b", "site_c")
PLAN = AblationPlan(seeds=2, keep=2, least=3)
OPTIONS = {"strong": dict(aug="strong"), "smooth": dict(smoothing=0.1), "equalize": dict(contrast="equalize")}


def quick_fit(fit, threads=None):
    "A stand-in for a training: regression on a few pixels, which differ from recipe to recipe and from seed to seed."
    films = read_table(fit.manifest, "manifest")
    settings = fit.config.options
    grain = 6 + 2 * (settings.aug == "strong") + 3 * (settings.smoothing > 0) + 5 * (settings.contrast == "equalize") + fit.config.seed
    rows = np.stack([resize_film(read_radiograph(p), grain).ravel() / 255 for p in films["path"]])
    train = films["split"].eq("train").to_numpy()
    model = LogisticRegression(C=0.1, max_iter=500).fit(rows[train], films["target"][train])
    judged = films[films["split"].isin(("test", "seen"))]
    p = model.predict_proba(rows[judged.index])
    write_csv(Path(fit.out)/"predictions.csv", table_of(judged[["filename", "patient_id", "group", "split", "target"]].reset_index(drop=True).assign(model="quick"), p, list(model.classes_)))
    write_json(Path(fit.out)/"metrics.json", {})
    return fit.out


@pytest.fixture(scope="module")
def films_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    phantom_study(folder, 90, size=96, seed=3, sources=SITES, visibility=0.5)
    return folder


def study(folder, out, monkeypatch):
    monkeypatch.setattr(ablation, "lean_fit", quick_fit)
    monkeypatch.setattr(ablation, "plain_fit", quick_fit)
    return ablate(RunConfig(str(folder/"manifest.csv"), arch="resnet18_layer3", weights="random", size=64), out, PLAN, OPTIONS)


def poisoned(folder, out, host, plan=PLAN):
    "The study with noise in place of every film of a host and of the patients that are kept."
    films = read_manifest(folder/"manifest.csv")
    grouped = ablation.add_groups(films.assign(target=films["label"])).reset_index(drop=True)
    hit = (grouped["source"] == host) | (k_folds(grouped, 5, 0)["fold"] == plan.fold)
    assert 0.3 < hit.mean() < 0.7
    (out/"images").mkdir(parents=True)
    draw = np.random.default_rng(0)
    for path, bad in zip(grouped["path"], hit):
        pixels = read_radiograph(path)
        Image.fromarray(draw.integers(0, 256, pixels.shape, dtype=np.uint8) if bad else pixels).save(out/"images"/Path(path).name)
    (out/"manifest.csv").write_bytes((folder/"manifest.csv").read_bytes())
    return out


def choice_of(result, host):
    rows = pd.DataFrame(result["screened"])
    return result["chosen"][host], rows[rows["host"] == host][["recipe", "seeds", "area"]].to_dict("records")


def test_poisoned_test_films_change_no_choice(films_dir, tmp_path, monkeypatch, host="site_b"):
    clean, bad = study(films_dir, tmp_path/"clean", monkeypatch), study(poisoned(films_dir, tmp_path/"bad", host), tmp_path/"out", monkeypatch)
    assert choice_of(bad, host) == choice_of(clean, host)
    others = [s for s in SITES if s != host]
    assert [choice_of(bad, s) for s in others] != [choice_of(clean, s) for s in others], "poison has to show where it may"
    assert bad["scores"] != clean["scores"]


def test_labels_of_the_host_are_not_read_for_its_choice(films_dir, tmp_path, monkeypatch):
    clean, read = study(films_dir, tmp_path/"clean", monkeypatch), ablation._Study.read
    def upside_down(self, fits):
        rows = read(self, fits)
        return rows.assign(target=rows["target"].where((rows["place"] != "site_a") & (rows["split"] != "seen"), rows["target"].map(dict(covid="other", other="covid", normal="normal"))))
    monkeypatch.setattr(ablation._Study, "read", upside_down)
    turned = ablate(RunConfig(str(films_dir/"manifest.csv"), arch="resnet18_layer3", weights="random", size=64), tmp_path/"clean", PLAN, OPTIONS)
    assert choice_of(turned, "site_a") == choice_of(clean, "site_a")
    assert choice_of(turned, "site_b") != choice_of(clean, "site_b")


def test_manifests_of_choices_keep_everybody_apart(films_dir, tmp_path, monkeypatch):
    study(films_dir, tmp_path/"out", monkeypatch)
    judged = {host: read_table(tmp_path/"out"/"judged"/host/"manifest.csv", "manifest") for host in SITES}
    for path in (tmp_path/"out"/"choice").glob("*/manifest.csv"):
        films, hosts = read_table(path, "manifest"), path.parent.name.split("-site")
        hosts = {h if h.startswith("site") else f"site{h}" for h in hosts}
        trained, tested = films[films["split"].isin(("train", "valid"))], films[films["split"] == "test"]
        assert set(tested["source"]) == hosts and not set(trained["source"]) & hosts
        for host in hosts:
            kept = judged[host][judged[host]["split"] == "seen"]
            assert not set(kept["group"]) & (set(trained["group"]) | set(tested["group"])) and len(kept)
            assert not set(trained["group"]) & set(judged[host].loc[judged[host]["split"] == "test", "group"])


def test_a_training_does_not_look_at_what_it_is_tested_on(films_dir, tmp_path):
    films = read_manifest(films_dir/"manifest.csv")
    films = ablation.add_groups(films.assign(target=films["label"])).reset_index(drop=True).assign(place=films["source"])
    parts = ablation.left_out(films, ["site_a"], PLAN, judge=True)
    noise = tmp_path/"noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 80), dtype=np.uint8)).save(noise)
    test = parts["split"] == "test"
    bad = parts.assign(path=parts["path"].where(~test, str(noise)), target=parts["target"].where(~test, "covid"), label=parts["label"].where(~test, "covid"))
    config = RunConfig(str(films_dir/"manifest.csv"), arch="resnet18_layer3", weights="random", size=64, epochs=1, freeze_epochs=0, precision="fp32", sampling="source", adversary=1.0, average="ema", tta=2)
    found = {}
    for name, rows in (("clean", parts), ("bad", bad)):
        write_csv(tmp_path/name/"manifest.csv", rows)
        lean_fit(Fit(name, config, str(tmp_path/name/"manifest.csv"), str(tmp_path/name/"out")))
        found[name] = read_table(tmp_path/name/"out"/"predictions.csv", "predictions").set_index("filename")
    seen = parts.loc[parts["split"] == "seen", "filename"]
    assert found["clean"].loc[seen, "p_covid"].tolist() == found["bad"].loc[seen, "p_covid"].tolist()
    assert found["clean"].loc[parts.loc[test, "filename"], "p_covid"].tolist() != found["bad"].loc[parts.loc[test, "filename"], "p_covid"].tolist()
    dls = xray_dls(parts, size=64, recipe=config.options)
    assert not set(dls.train_ds.items["source"]) & {"site_a"} and not set(dls.valid_ds.items["filename"]) & set(seen)
