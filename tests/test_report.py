"The report of a run as a reader gets it: in Chromium without a network, on paper, and with names that must not be seen."
import base64
import csv
import json
import re
import shutil
from collections import Counter
from contextlib import contextmanager

import pandas as pd
import pytest
from conftest import nothing_in

from covid_fastai.checklists import CHECKLISTS
from covid_fastai.cli import main
from covid_fastai.core import DISCLAIMER, InputError
from covid_fastai.crossval import Study, cross_validate
from covid_fastai.report import fill_checklists, report_facts, report_page
from covid_fastai.runs import RunConfig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NETWORK = ["--arch", "small_cnn", "--task", "three-class", "--freeze-epochs", "0", "--size", "96", "--bs", "16", "--hidden", "0"]
HOSTILE = "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "a&amp;b", "{{ 7*7 }}", "</style><b>"


def command(*args): assert not main(list(map(str, args)))


@pytest.fixture(scope="module")
def run(study, tmp_path_factory):
    "A run of one epoch on phantoms, explained and audited."
    folder = tmp_path_factory.mktemp("runs")/"small"
    command("train", "--manifest", study/"manifest.csv", "--epochs", 1, "--out", folder, *NETWORK)
    command("explain", folder, "--top", 3)
    command("audit", folder)
    return folder


@pytest.fixture(scope="module")
def page(run): return report_page(run)


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM: pytest.skip("needs Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, path, **kwargs):
    "A page of a file, offline; fails when anything was logged, asked for or shown as a dialog."
    found, context = [], browser.new_context(offline=True, **kwargs)
    tab = context.new_page()
    tab.on("console", lambda m: found.append(f"console: {m.text}"))
    tab.on("pageerror", lambda e: found.append(f"error: {e}"))
    tab.on("dialog", lambda d: (found.append(f"dialog: {d.message}"), d.dismiss()))
    tab.on("request", lambda r: found.append(f"request: {r.url}") if r.url != path.as_uri() and not r.url.startswith("data:") else None)
    tab.goto(path.as_uri())
    yield tab
    context.close()
    nothing_in(found)


def cells(tab, caption):
    "The rows of the table with a caption that begins so."
    return tab.evaluate("""caption => [...document.querySelectorAll('table')].filter(t => t.caption && t.caption.innerText.startsWith(caption))
        .flatMap(t => [...t.tBodies].flatMap(b => [...b.rows].map(r => [...r.cells].map(c => c.innerText))))""", caption)


def text_of(path): return re.sub(r"data:image/png;base64,[^\"]*", "", path.read_text(encoding="utf-8"))
def rows_of(path): return list(csv.DictReader(path.open(newline="", encoding="utf-8")))
def png_of(path): return base64.b64encode(path.read_bytes()).decode()


# In a browser, and on paper

@pytest.mark.parametrize("kwargs", [dict(viewport=dict(width=1280, height=900)), dict(viewport=dict(width=390, height=844), color_scheme="dark")], ids=["wide", "phone in the dark"])
def test_it_opens_without_a_network_and_can_be_read_by_all(browser, page, kwargs):
    with opened(browser, page, **kwargs) as tab:
        assert tab.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt.length > 10)") and tab.evaluate("document.images.length") >= 10
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        nothing_in(barriers(tab))


def test_the_audit_can_be_read_by_all(browser, run):
    with opened(browser, run/"audit"/"audit.html") as tab: nothing_in(barriers(tab))


def barriers(tab):
    "What keeps people from reading a page, as axe finds it."
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in axe.Axe().run(tab).response["violations"]]


def test_headings_are_in_order(browser, page):
    with opened(browser, page) as tab:
        levels = tab.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])")
        assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
        assert tab.evaluate("document.documentElement.lang") == "en" and tab.evaluate("document.scripts.length") == 0
        assert tab.evaluate("document.body.innerText").count(DISCLAIMER) >= 2


def test_it_prints_on_less_than_fifteen_pages(browser, page, tmp_path):
    pypdf = pytest.importorskip("pypdf")
    with opened(browser, page) as tab: tab.pdf(path=tmp_path/"report.pdf", prefer_css_page_size=True)
    paper = pypdf.PdfReader(tmp_path/"report.pdf").pages
    assert 4 < len(paper) < 15 and [round(float(x) / 72 * 25.4) for x in paper[0].mediabox[2:]] == [210, 297]


# Numbers

def test_scores_are_those_of_metrics_json(browser, run, page):
    found = json.loads((run/"metrics.json").read_text())["metrics"]
    def interval(m): return " to ".join("-" if m[k] is None else f"{m[k]:.3f}" for k in ("low", "high"))
    def value(m): return "-" if m["value"] is None else f"{m['value']:.3f}"
    with opened(browser, page) as tab:
        whole, classes = cells(tab, "Scores over all classes"), cells(tab, "Scores of each class")
    seen = {row[0].replace(" ", "_"): (row[1], row[2]) for row in whole} | {f"{row[0].replace(' ', '_')}_{c}": tuple(re.fullmatch(r"(\S+) \((.+)\)", cell).groups()) for row in classes for c, cell in zip(("covid", "normal", "other"), row[1:])}
    assert seen == {name: (value(m), interval(m)) for name, m in found.items()} and len(seen) > 25


def test_the_flow_counts_every_film_once(browser, run, study, page):
    films, preds = rows_of(run/"manifest.csv"), rows_of(run/"predictions.csv")
    with opened(browser, page) as tab: boxes = tab.evaluate("[...document.querySelectorAll('.flow .box')].map(b => b.innerText)")
    n, of = Counter(f["split"] for f in films), Counter((f["split"], f["label"]) for f in films)
    assert boxes[0].startswith(f"{len(rows_of(study/'manifest.csv'))} rows") and boxes[1] == "none left out" and boxes[2].startswith(f"{len(films)} films taken")
    for box, split in zip(boxes[3:], ("train", "valid", "test"), strict=True):
        assert box.startswith(f"{split}: {n[split]} films\n" + ", ".join(f"{c} {of[split, c]}" for c in ("covid", "normal", "other")))
        if split != "train": assert box.endswith(f"predicted {sum(p['split'] == split and p['status'] == 'ok' for p in preds)}, refused 0")


def test_rows_that_were_left_out_are_counted(run, study, tmp_path):
    "Three films of a label that the task does not know, and a patient that --only leaves out."
    copy = shutil.copytree(run, tmp_path/"less")
    config, films = json.loads((copy/"config.json").read_text()), pd.read_csv(copy/"manifest.csv", dtype=str, keep_default_na=False)
    more = films.head(5).assign(filename=[f"more-{i}.png" for i in range(5)], label=["lateral"] * 3 + ["covid"] * 2, view=["AP"] * 3 + ["L"] * 2)
    pd.concat([films.assign(view="AP"), more]).to_csv(tmp_path/"all.csv", index=False)
    (copy/"config.json").write_text(json.dumps(config | dict(manifest=str(tmp_path/"all.csv"), only="view=AP")))
    flow = report_facts(copy)["flow"]
    assert flow[0]["title"] == f"{len(films) + 5} rows in the manifest" and flow[0]["aside"] == "left out: 2 not view=AP; 3 without a class of three-class"
    (tmp_path/"all.csv").unlink()
    assert report_facts(copy)["flow"][0]["title"] == f"{len(films)} films taken"


# Checklists

def test_each_item_names_files_of_the_run_or_is_not_reported(run):
    table = fill_checklists(run)
    assert Counter(table["checklist"]) == {"CLAIM 2024": 44, "TRIPOD+AI": 52, "STARD-AI": 48} and not table.duplicated(["checklist", "item"]).any()
    assert list(table["item"]) == [i.id for c in CHECKLISTS.values() for i in c.items] and (table["answer"] != "").all()
    said = table[table["file"] != "not reported"]
    nothing_in([f"{r.checklist} {r.item}: {f}" for r in said.itertuples() for f in r.file.split(", ") if not (run/f).is_file()])
    silent = table[table["file"] == "not reported"]
    assert len(said) > 80 and (silent["answer"] == "not reported").all() and (silent["who"] != "").all()


@pytest.mark.parametrize("item", [("CLAIM 2024", "44"), ("TRIPOD+AI", "17"), ("TRIPOD+AI", "18b"), ("STARD-AI", "6"), ("STARD-AI", "36"), ("STARD-AI", "39")])
def test_what_only_people_know_is_not_made_up(run, item):
    row = fill_checklists(run).set_index(["checklist", "item"]).loc[item]
    assert (row["answer"], row["file"], row["who"]) == ("not reported", "not reported", "the authors")


def test_answers_follow_the_files(run, tmp_path):
    "An answer changes with its file, and goes when the file goes."
    copy = shutil.copytree(run, tmp_path/"copy")
    def answer(name, item): return fill_checklists(copy).set_index(["checklist", "item"]).loc[(name, item)]
    groups = {f["group"] for f in rows_of(copy/"manifest.csv")}
    assert f"0 of {len(groups)} groups" in answer("CLAIM 2024", "20")["answer"]
    films = pd.read_csv(copy/"manifest.csv", dtype=str, keep_default_na=False)
    films.loc[films["split"] == "test", "source"] = "far away"
    films.to_csv(copy/"manifest.csv", index=False)
    assert answer("CLAIM 2024", "33")["answer"] == f"in part: {(films['split'] == 'test').sum()} of {(films['split'] == 'test').sum()} test films are of sources that were not trained on"
    (copy/"audit"/"verdict.json").unlink()
    assert answer("CLAIM 2024", "30")["who"] == "covid_fastai audit copy"


# What is missing

def test_what_is_missing_is_named_with_its_command(run, tmp_path):
    copy = shutil.copytree(run, tmp_path/"bare")
    for name in ("audit", "bundle", "figures"): shutil.rmtree(copy/name)
    (copy/"top_losses.csv").unlink()
    (copy/"metrics.json").write_text(json.dumps(json.loads((copy/"metrics.json").read_text()) | dict(verdict=None)))
    text = text_of(report_page(copy))
    for line in ("covid_fastai audit bare", "covid_fastai explain bare", "covid_fastai explain bare --score", "covid_fastai evaluate bare --figures bare/figures"): assert f"<code>{line}</code>" in text, line
    assert "Control gate: not run." in text
    assert "not in this run" in text_of(report_page(run)) and "Control gate: not run." not in text_of(report_page(run))


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path):
    for path in (tmp_path, tmp_path/"gone"):
        with pytest.raises(InputError, match="no run at") as e: report_page(path)
        assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())


def test_a_study_is_reported_too(browser, study, tmp_path):
    cross_validate(RunConfig(str(study/"manifest.csv"), "covid-normal", arch="small_cnn", freeze_epochs=0, epochs=1, size=96, bs=16, hidden=0), tmp_path/"folds", Study(folds=2))
    page = report_page(tmp_path/"folds")
    preds, result = rows_of(tmp_path/"folds"/"predictions.csv"), json.loads((tmp_path/"folds"/"metrics.json").read_text())
    with opened(browser, page) as tab: boxes, fits = tab.evaluate("[...document.querySelectorAll('.flow .box')].map(b => b.innerText)"), cells(tab, "Each fit")
    judged = Counter(p["fold"] for p in preds if p["split"] == "test")
    assert [b.split("\n")[0] for b in boxes[3:]] == [f"{fold}: {n} films judged" for fold, n in judged.items()] and len(judged) == 2
    assert [(f[0], f[2].split()[0]) for f in fits] == [(name, f"{m['value']:.3f}") for name, m in result["fits"].items()]
    nothing_in([f for files in fill_checklists(tmp_path/"folds")["file"] if files != "not reported" for f in files.split(", ") if not (tmp_path/"folds"/f).is_file()])


# Names

@pytest.fixture
def hostile(run, tmp_path):
    "The run under a name that is markup, with markup for names of films, patients, sources and licences, and many licences."
    copy = shutil.copytree(run, tmp_path/"a<b>&'c'")
    films, preds = (pd.read_csv(copy/name, dtype=str, keep_default_na=False) for name in ("manifest.csv", "predictions.csv"))
    names = {old: f"{HOSTILE[i % len(HOSTILE)]}{i}.png" for i, old in enumerate(films["filename"])}
    people = {old: f"{HOSTILE[i % len(HOSTILE)]} {i}" for i, old in enumerate(dict.fromkeys(films["patient_id"]))}
    for name, table in (("manifest.csv", films), ("predictions.csv", preds)):
        table = table.assign(filename=table["filename"].map(names), patient_id=table["patient_id"].map(people), source=[HOSTILE[i % 2] for i in range(len(table))])
        if "license" in table: table["license"] = [f"{HOSTILE[0]} {i % 20}" for i in range(len(table))]
        table.to_csv(copy/name, index=False)
    for name, change in (("audit/verdict.json", dict(verdict=HOSTILE[1], reasons=list(HOSTILE))), ("metrics.json", dict(rule=HOSTILE[1])), ("config.json", dict(manifest=str(copy/HOSTILE[4]), only=""))):
        (copy/name).write_text(json.dumps(json.loads((copy/name).read_text()) | change))
    return copy


@pytest.mark.parametrize("films", [True, False])
def test_names_cannot_become_markup(browser, hostile, films):
    page = report_page(hostile, films=films)
    with opened(browser, page) as tab:
        assert tab.evaluate("document.scripts.length") == 0 and tab.evaluate("document.querySelectorAll('[onerror], img:not([src^=\"data:image/png\"])').length") == 0
        shown = tab.evaluate("document.body.innerText")
        assert tab.title() == "Report of a<b>&'c'" and all(word in shown for word in HOSTILE)
        assert "more in manifest.csv" in shown


def test_without_films_no_name_and_no_picture_is_left(run, page, tmp_path):
    films = rows_of(run/"manifest.csv")
    names = {f[c] for f in films for c in ("filename", "patient_id")} | {f["filename"].rsplit(".", 1)[0] for f in films}
    copy = shutil.copytree(run, tmp_path/f"run of {films[0]['patient_id']}")
    verdict = json.loads((copy/"audit"/"verdict.json").read_text())
    worst = rows_of(run/"top_losses.csv")[0]
    (copy/"audit"/"verdict.json").write_text(json.dumps(verdict | dict(verdict="FAIL", reasons=[f"{worst['filename']} of {worst['patient_id']} is odd"])))
    hidden, shown = report_page(copy, tmp_path/"hidden.html", films=False), text_of(page)
    text = text_of(hidden)
    assert [n for n in sorted(names) if n in shown]
    nothing_in([n for n in sorted(names) if n in text])
    for name in ("top_losses", "grad_cam"): assert png_of(run/"figures"/f"{name}.png") in page.read_text() and png_of(run/"figures"/f"{name}.png") not in hidden.read_text()
    assert png_of(run/"figures"/"roc.png") in hidden.read_text()
    film, patient = re.search(r"<li>(film \d{3}) of (patient \d{2}) is odd", text).groups()
    assert re.search(rf'<th scope="row">{film}</th><td>{patient}</td>', text), "the same names in a table and in a sentence"
