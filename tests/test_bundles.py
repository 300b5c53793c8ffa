"What is in a bundle cannot run: no pickle is in it or opened on its way, and one that was changed is refused or says the same."
import ast
import io
import json
import pickle
import pickletools
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from fastai.learner import load_learner

from covid_fastai.blocks import xray_dls
from covid_fastai.bundle import load_bundle, save_bundle
from covid_fastai.committee import answers
from covid_fastai.core import InputError
from covid_fastai.decisions import with_decisions
from covid_fastai.exports import add_onnx
from covid_fastai.learner import xray_learner
from covid_fastai.manifest import read_manifest
from covid_fastai.models import probabilities, xray_model
from covid_fastai.scope import fit_scope
from covid_fastai.splits import with_splits
from covid_fastai.tensors import write_facts

SPEC = dict(arch="small_cnn", head="linear", classes=["covid", "normal", "other"], task="three-class", size=96, fit="squish")
MUTANTS = 1000
RUNS = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "EXT1", "EXT2", "EXT4"}  # Opcodes by which a pickle calls something


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "A bundle with everything that one can hold, small enough to be read a thousand times."
    folder, model = tmp_path_factory.mktemp("whole")/"bundle", xray_model("small_cnn", 3, "linear")
    films = np.random.default_rng(0).integers(0, 256, (12, 96, 96), dtype=np.uint8)
    features = answers(model, films)[1]
    save_bundle(model, SPEC, folder, scope=fit_scope(features, features), decisions=dict(temperature=1.5, threshold=0.3, sensitivity=0.9, films=9), training=dict(films=7), metrics=None)
    add_onnx(folder)
    return folder


def calls_of(data):
    "Opcodes of a pickle that call something, wherever in the bytes one begins; those of a zip's members too (torch.save writes one)."
    found = set()
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as z: found |= set().union(*(calls_of(z.read(n)) for n in z.namelist()))
    for start in [0, *(i for i in range(len(data) - 1) if data[i] == 0x80 and data[i + 1] in range(2, 6))]:
        opcodes = set()
        try:
            for opcode, _, _ in pickletools.genops(io.BytesIO(data[start:start + 100_000])): opcodes.add(opcode.name)
        except Exception: continue  # not a pickle: no STOP is reached
        found |= opcodes & RUNS
    return found


class Evil:
    def __reduce__(self): return print, ("it ran",)


def test_the_scan_finds_a_pickle(tmp_path):
    assert calls_of(pickle.dumps(Evil())) & RUNS and calls_of(b"filler" + pickle.dumps(Evil()))
    import torch
    torch.save(xray_model("small_cnn", 3, "linear"), tmp_path/"model.pth")
    assert calls_of((tmp_path/"model.pth").read_bytes())


def test_no_file_of_a_bundle_is_a_pickle(whole):
    files = [p for p in whole.rglob("*") if p.is_file()]
    assert {p.name for p in files} == {"bundle.json", "model.safetensors", "scope.safetensors", "model.onnx", "README.md"}
    for p in files: assert calls_of(p.read_bytes()) == set(), p.name


PROOF = """
import sys
import covid_fastai.bundle, covid_fastai.predict, covid_fastai.exports
def forbid(event, args):
    if event in ("pickle.find_class", "marshal.loads"): raise RuntimeError(f"a pickle is opened: {args}")
    if event == "open" and str(args[0]).endswith((".pkl", ".pickle", ".pth", ".pt")): raise RuntimeError(f"opened {args[0]}")
sys.addaudithook(forbid)
from covid_fastai.bundle import load_bundle
from covid_fastai.exports import onnx_answers
import numpy as np
bundle = load_bundle(sys.argv[1])
print(bundle.predict(np.zeros((1, 96, 96), np.uint8))[0, 0])
"""


def test_reading_one_looks_up_no_name_of_a_pickle(whole):
    "Python itself tells when a pickle names something to call."
    done = subprocess.run([sys.executable, "-c", PROOF, str(whole)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and 0 <= float(done.stdout) <= 1, done.stderr


def test_the_package_opens_no_pickle():
    "No module imports pickle or a relative of it, and torch.load is called with weights_only=True."
    for path in (ROOT/"covid_fastai").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & {n.split(".")[0] for n in names}, path.name
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load" and getattr(node.func.value, "id", "") == "torch":
                assert any(k.arg == "weights_only" and getattr(k.value, "value", None) is True for k in node.keywords), path.name
            if isinstance(node, (ast.Name, ast.Attribute)): assert (node.id if isinstance(node, ast.Name) else node.attr) not in ("load_learner", "Unpickler"), path.name


def test_fastais_own_export_works_and_is_a_pickle(study, tmp_path):
    "`learn.export` and `load_learner` stay possible; fastai warns, and the scan says what is in the file."
    films = with_splits(read_manifest(study/"manifest.csv"), seed=0)
    learn = xray_learner(xray_dls(films, "three-class", size=96, bs=8), "small_cnn", head="linear", precision="fp32")
    learn.export(tmp_path/"model.pkl")
    assert calls_of((tmp_path/"model.pkl").read_bytes())
    with pytest.warns(UserWarning, match="pickle"): loaded = load_learner(tmp_path/"model.pkl")
    squares = learn.dls.cache.films(films["path"].head(4))
    assert (probabilities(loaded.model, squares) == probabilities(learn.model, squares)).all()
    for item in (films.iloc[0], films["path"].iloc[0], Path(films["path"].iloc[0])):
        with loaded.no_bar(): _, _, p = loaded.predict(item)
        assert np.abs(p.numpy() - probabilities(learn.model, squares[:1])[0]).max() < 1e-5


@pytest.mark.parametrize("name", ["model.safetensors", "scope.safetensors", "model.onnx", "README.md", "extra.pkl", "lungs"])
def test_a_planted_pickle_is_refused(whole, tmp_path, name, capsys):
    "Whether its digest is right or not."
    shutil.copytree(whole, tmp_path/"bundle")
    (tmp_path/"bundle"/name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError): load_bundle(tmp_path/"bundle")
    facts = json.loads((whole/"bundle.json").read_text())
    import hashlib
    facts["sha256"][name] = hashlib.sha256(pickle.dumps(Evil())).hexdigest()
    write_facts(tmp_path/"bundle"/"bundle.json", facts)
    with pytest.raises(InputError): load_bundle(tmp_path/"bundle")
    assert "it ran" not in capsys.readouterr().out


# Mutants

def flip(path, draw):
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 3, 30))): data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def cut(path, draw): path.write_bytes(path.read_bytes()[:draw.randrange(path.stat().st_size)])
def lengthen(path, draw): path.write_bytes(path.read_bytes() + draw.randbytes(draw.choice((1, 8, 4096))))
def remove(path, draw): path.unlink()
def rename(path, draw): path.rename(path.with_name(draw.choice(("model.pth", "x", "bundle.json.bak"))))
def swap(path, draw): path.write_bytes(draw.choice(sorted(path.parent.iterdir())).read_bytes())
def overwrite(path, draw): path.write_bytes(draw.choice((b"", b"null", b"[]", b"{}", b"\0" * 100, pickle.dumps(Evil()), b"\xff\xfe" + draw.randbytes(50))))


def edit(path, draw):
    "A value somewhere in the facts, or a key, changed as with a text editor."
    path = path.with_name("bundle.json")
    facts = node = json.loads(path.read_text())
    while True:
        key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
        if isinstance(node[key], (dict, list)) and node[key] and draw.random() < 0.8: node = node[key]; continue
        break
    if draw.random() < 0.3: del node[key]
    else: node[key] = draw.choice((None, 0, -1, 1.5, 10**30, "x", "../x", [], {}, True, "covid", 96, 97))
    path.write_text(json.dumps(facts))


CHANGES = (flip, flip, flip, cut, lengthen, remove, rename, swap, overwrite, edit, edit, edit)


@pytest.mark.slow
def test_a_thousand_mutants_are_refused_or_say_the_same(whole, tmp_path):
    films, table = np.random.default_rng(1).integers(0, 256, (2, 96, 96), dtype=np.uint8), pd.DataFrame(dict(p_covid=[0.1, 0.6], p_normal=[0.5, 0.3], p_other=[0.4, 0.1]))
    def said(bundle): return [a.tolist() for a in bundle.answer(films)], with_decisions(table, bundle.task, bundle.decisions).to_dict(), bundle.spec
    expected, refused, same = said(load_bundle(whole)), 0, 0
    for seed in range(MUTANTS):
        draw, folder = random.Random(seed), tmp_path/"mutant"
        shutil.copytree(whole, folder)
        change = draw.choice(CHANGES)
        change(draw.choice(sorted(folder.iterdir())), draw)
        try: bundle = load_bundle(folder)
        except InputError as e:
            refused += 1
            assert "\n" not in str(e).strip(), (seed, change)
        else:
            same += 1
            assert said(bundle) == expected, (seed, change)
        shutil.rmtree(folder)
    assert refused + same == MUTANTS and refused > 0.9 * MUTANTS, (refused, same)
