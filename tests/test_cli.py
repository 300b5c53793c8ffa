"The command line: what each verb does, and one line with the right code for each mistake."
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from covid_fastai.cli import main
from covid_fastai.core import DISCLAIMER, read_table, write_csv
from covid_fastai.manifest import read_manifest

COMMAND = str(Path(sys.executable).with_name("covid_fastai"))
SMALL = ["--arch", "small_cnn", "--size", "96", "--bs", "16", "--hidden", "0", "--epochs", "1", "--freeze-epochs", "0", "--precision", "fp32"]


@pytest.fixture
def call(capfd):
    "Run a command line in this process: code, standard output, standard error."
    def run(*args):
        try: code = main([str(a) for a in args])
        except SystemExit as e: code = e.code
        out, err = capfd.readouterr()
        return code, out, err
    return run


def process(*args, **kwargs):
    "Run a command line as a process of its own."
    return subprocess.run([COMMAND, *map(str, args)], capture_output=True, text=True, timeout=300, **kwargs)


def refused(result, *parts, code=2):
    "One line on standard error with all `parts`, the right code, and no traceback."
    got, _, err = result
    lines = [line for line in err.strip().splitlines() if line.startswith("covid_fastai: ")]
    assert got == code and len(lines) == 1 and "Traceback" not in err, (got, err)
    for part in parts: assert part in lines[0], (part, lines[0])


@pytest.fixture(scope="module")
def run_dir(study, tmp_path_factory):
    "A finished run on phantoms, read and never changed."
    out = tmp_path_factory.mktemp("runs")/"run"
    assert main(["train", "--manifest", str(study/"manifest.csv"), *SMALL, "--out", str(out)]) == 0
    return out


def test_a_folder_for_each_class_becomes_a_manifest(call, study, tmp_path):
    "It is read without --root where the films lie below it; a finding that is unknown is named, and what to do."
    films = read_table(study/"manifest.csv", "manifest").groupby("label").head(2)
    for label, name in films[["label", "filename"]].to_numpy():
        (tmp_path/"mine"/{"other": "tbc"}.get(label, label)).mkdir(parents=True, exist_ok=True)
        shutil.copy(study/"images"/name, tmp_path/"mine"/{"other": "tbc"}.get(label, label))
    code, out, _ = call("manifest", "build", tmp_path/"mine", "--layout", "folders", "--out", tmp_path/"some.csv")
    assert code in (0, None) and "2 left out" in out and "unknown finding 'tbc'" in out and "--label FINDING=LABEL" in out
    (tmp_path/"far").mkdir()
    for place in ("mine", ".", "far"):
        code, out, _ = call("manifest", "build", tmp_path/"mine", "--layout", "folders", "--label", "tbc=other", "--out", tmp_path/place/"m.csv")
        assert code in (0, None) and ("--root" in out) == (place == "far") and "unknown" not in out
        back = read_manifest(tmp_path/place/"m.csv", root=tmp_path/"mine" if place == "far" else None)
        assert back["label"].value_counts().to_dict() == dict(covid=2, normal=2, other=2)


def test_train_writes_the_run_folder(run_dir):
    files = {str(p.relative_to(run_dir)) for p in run_dir.rglob("*") if p.is_file()}
    assert {"config.json", "manifest.csv", "log.csv", "predictions.csv", "metrics.json", "figures/training.png", "figures/confusion.png", "figures/roc.png",
            "bundle/bundle.json", "bundle/model.safetensors"} <= files
    config = json.loads((run_dir/"config.json").read_text())
    assert config["epochs"] == 1 and config["chosen"]["precision"] == "fp32" and "torch" in config["versions"]
    metrics = json.loads((run_dir/"metrics.json").read_text())
    assert {"task", "split", "rule", "n", "n_patients", "metrics", "verdict"} <= metrics.keys()
    assert all({"value", "low", "high", "method"} <= m.keys() for m in metrics["metrics"].values())


def test_config_runs_again_with_the_same_result(call, run_dir, tmp_path):
    assert call("train", "--config", run_dir/"config.json", "--out", tmp_path/"again")[0] == 0
    assert read_table(tmp_path/"again"/"predictions.csv").equals(read_table(run_dir/"predictions.csv"))


def test_evaluate_explain_predict(call, run_dir, study, tmp_path):
    shutil.copytree(run_dir, tmp_path/"run")
    code, out, _ = call("evaluate", tmp_path/"run")
    assert code == 0 and "accuracy" in out and "95 % interval" in out and DISCLAIMER in out
    code, out, _ = call("evaluate", tmp_path/"run"/"predictions.csv", "--against", run_dir)
    assert code == 0 and "a - b" in out and "+0.000" in out.replace(" 0.000", "+0.000")
    code, out, _ = call("explain", tmp_path/"run", "--top", 4)
    assert code == 0 and DISCLAIMER in out
    assert {"top_losses.png", "grad_cam.png"} <= {p.name for p in (tmp_path/"run"/"figures").iterdir()}
    assert len(read_table(tmp_path/"run"/"top_losses.csv")) == 4
    code, out, _ = call("predict", "--bundle", run_dir, "--manifest", study/"manifest.csv", "--out", tmp_path/"p.csv", "--cam", tmp_path/"cams")
    assert code == 0 and DISCLAIMER in out
    preds, films = read_table(tmp_path/"p.csv"), read_table(study/"manifest.csv")
    assert preds["filename"].tolist() == films["filename"].tolist() and set(preds["status"]) == {"ok"}
    assert len(list((tmp_path/"cams").iterdir())) == len(films)
    known = read_table(run_dir/"predictions.csv").merge(preds, on="filename")
    assert (known["p_covid_x"].astype(float) - known["p_covid_y"].astype(float)).abs().max() < 1e-5


def test_explanations_are_scored_and_compared(call, run_dir, tmp_path):
    for name in ("a", "b"): shutil.copytree(run_dir, tmp_path/name)
    code, out, _ = call("explain", tmp_path/"a", "--score", "--against", tmp_path/"b")
    assert code == 0 and DISCLAIMER in out and f"{tmp_path/'a'} less {tmp_path/'b'}" in out
    assert {"explanations.png", "removal.png"} <= {p.name for p in (tmp_path/"a"/"figures").iterdir()}
    scores, films = (read_table(tmp_path/"b"/f"{name}.csv") for name in ("explanation_scores", "explanations"))
    tested = read_table(run_dir/"predictions.csv").query("split == 'test'")
    assert {"gap", "random", "shift", "blank"} <= set(scores["score"]) and sorted(films["filename"]) == sorted(tested["filename"])
    for line, said in ((("--lungs", run_dir), "--against, --others or --lungs without --score"), (("--score", "--lungs", run_dir), "is for classifier; expected one for lungs"),
                       (("--method", "gradcam"), "unknown method 'gradcam'"), (("--by", "hospital"), "unknown column 'hospital'"), (("--layer", "0.99"), "unknown part of 0 in layer '0.99'")):
        code, _, err = call("explain", tmp_path/"a", *line)
        assert code == 2 and said in err and err.count("\n") == 1
    write_csv(tmp_path/"b"/"predictions.csv", (preds := read_table(run_dir/"predictions.csv")).assign(filename="other " + preds["filename"]))
    code, _, err = call("explain", tmp_path/"a", "--score", "--against", tmp_path/"b")
    assert code == 2 and "have no test film in common; expected runs on one manifest" in err


def test_lungs_are_learnt_and_found(call, study, tmp_path):
    code, out, _ = call("lungs", "train", "--manifest", study/"manifest.csv", "--out", tmp_path/"net", "--size", 64, "--epochs", 6)
    assert code == 0 and DISCLAIMER in out and "phantom" in out
    films = read_table(study/"manifest.csv")
    films.assign(mask="").to_csv(tmp_path/"bare.csv", index=False)
    code, out, err = call("lungs", "apply", "--bundle", tmp_path/"net", "--manifest", tmp_path/"bare.csv", "--root", study/"images", "--out", tmp_path/"found")
    table = read_table(tmp_path/"found"/"lungs.csv")
    made = {p.stem for p in (tmp_path/"found"/"masks").iterdir()}
    assert code == 0 and len(table) == len(films) and err.count("flagged: ") == (table["mask"] == "").sum()
    assert made == {name.removesuffix(".png") for name in table.loc[table["mask"] == "predicted", "filename"]} and len(made) > len(films) / 2
    code, _, err = call("lungs", "train", "--manifest", tmp_path/"bare.csv", "--root", study/"images", "--out", tmp_path/"none")
    assert code == 2 and "no film with a lung mask" in err and not (tmp_path/"none").exists()
    code, _, err = call("predict", "--bundle", tmp_path/"net", study/"images", "--out", tmp_path/"p.csv")
    assert code == 2 and "is for lungs; expected one for classifier" in err


def test_predict_goes_on_after_what_it_cannot_read(call, run_dir, study, tmp_path):
    good = sorted((study/"images").iterdir())[0]
    (tmp_path/"in").mkdir()
    shutil.copy(good, tmp_path/"in"/"good.png")
    (tmp_path/"in"/"cut.png").write_bytes(good.read_bytes()[:2000])
    (tmp_path/"in"/"notes.txt").write_text("no film")
    code, out, err = call("predict", "--bundle", run_dir, tmp_path/"in", "--out", tmp_path/"p.csv")
    preds = read_table(tmp_path/"p.csv").set_index("filename")
    assert code == 0 and "1 of 3 films predicted" in out and err.count("refused: ") == 2
    assert sorted(preds["status"]) == ["ok", "refused", "refused"] and preds.loc[preds["status"] == "refused", "reason"].str.len().min() > 10
    assert call("predict", "--bundle", run_dir, tmp_path/"in", "--out", tmp_path/"p.csv", "--strict")[0] == 1
    assert call("predict", "--bundle", run_dir, tmp_path/"in"/"notes.txt", "--out", tmp_path/"p.csv")[0] == 2


def test_manifest_check(call, study):
    code, out, _ = call("manifest", "check", study/"manifest.csv")
    assert code == 0 and "site_a" in out


def changed(study, tmp_path, name="m.csv", **columns):
    "The study's manifest with some columns changed, and its folder of films."
    films = read_table(study/"manifest.csv").assign(**columns)
    films.to_csv(tmp_path/name, index=False)
    return ["train", "--manifest", tmp_path/name, "--root", study/"images", *SMALL, "--out", tmp_path/"out"]


def test_bad_manifests(call, study, tmp_path):
    films = read_table(study/"manifest.csv")
    refused(call("train", "--manifest", tmp_path/"none.csv", "--out", tmp_path/"out"), "no manifest at")
    (tmp_path/"empty.csv").write_text("")
    refused(call("train", "--manifest", tmp_path/"empty.csv", "--out", tmp_path/"out"), "is empty")
    refused(call(*changed(study, tmp_path, filename=["absent.png", *films["filename"][1:]])), "absent.png")
    refused(call(*changed(study, tmp_path, label=["covd", *films["label"][1:]])), "covd", "did you mean covid")
    refused(call(*changed(study, tmp_path, label="covid")), "no film of class normal, other")
    refused(call(*changed(study, tmp_path, split=["train", "valid", "test"] * (len(films) // 3) + ["train"] * (len(films) % 3))), "--resplit")
    one_class = films["label"].map({"covid": "train", "normal": "valid", "other": "test"})
    refused(call(*changed(study, tmp_path, split=one_class)), "no film of class")
    assert not (tmp_path/"out").exists() and not (tmp_path/"out.partial").exists()


def test_bad_names(call, study, tmp_path):
    base = ["train", "--manifest", study/"manifest.csv", "--out", tmp_path/"out"]
    refused(call(*base, "--task", "threeclass"), "unknown task 'threeclass'", "did you mean three-class")
    refused(call(*base, "--arch", "resnet5"), "unknown architecture 'resnet5'", "resnet50")
    refused(call(*base, *SMALL, "--aug", "save"), "unknown augmentation 'save'", "did you mean safe")
    refused(call(*base, "--epochs", "0", "--freeze-epochs", "0"), "0 epochs after 0 frozen ones")
    refused(call("train", "--out", tmp_path/"out"), "no manifest")
    assert call(*base, "--epochs", "many")[0] == 2
    refused(call("evaluate", tmp_path/"nothing"), "no predictions at")
    refused(call("explain", tmp_path/"nothing"), "no run at")
    refused(call("predict", "--bundle", tmp_path, "x.png", "--out", tmp_path/"p.csv"), "no bundle at")


def test_bad_weights(call, study, tmp_path, monkeypatch):
    import torch
    import torchvision
    base = ["train", "--manifest", study/"manifest.csv", "--size", "96", "--out", tmp_path/"out"]
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path/"squeezenet.pth")
    refused(call(*base, "--arch", "resnet18", "--weights", tmp_path/"squeezenet.pth"), "do not fit resnet18", "conv1.weight")
    refused(call(*base, "--arch", "resnet18", "--weights-dir", tmp_path), "no weights of resnet18")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path/"home"))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"): monkeypatch.setenv(name, "http://127.0.0.1:9")
    refused(call(*base, "--arch", "resnet18"), "no pretrained weights of resnet18", "resnet18-f37072fd.pth", "--random-weights")
    assert not (tmp_path/"out").exists()


def test_truncated_jpeg_in_a_manifest(call, study, tmp_path):
    from PIL import Image
    shutil.copytree(study, tmp_path/"study")
    films = read_table(study/"manifest.csv")
    with Image.open(study/"images"/films["filename"][0]) as im: im.save(tmp_path/"whole.jpg")
    data = (tmp_path/"whole.jpg").read_bytes()
    (tmp_path/"study"/"images"/"cut.jpg").write_bytes(data[:len(data) // 2])
    films.assign(filename=["cut.jpg", *films["filename"][1:]], mask="").to_csv(tmp_path/"study"/"manifest.csv", index=False)
    refused(call("train", "--manifest", tmp_path/"study"/"manifest.csv", *SMALL, "--out", tmp_path/"out"), "cut.jpg")


def test_out_that_is_no_run(call, study, tmp_path):
    (tmp_path/"mine").mkdir()
    (tmp_path/"mine"/"letter.txt").write_text("keep me")
    refused(call("train", "--manifest", study/"manifest.csv", *SMALL, "--out", tmp_path/"mine"), "holds other files")
    assert (tmp_path/"mine"/"letter.txt").read_text() == "keep me"


def test_out_and_config_are_looked_at_first(call, run_dir, study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(call("train", "--manifest", study/"manifest.csv", *SMALL, "--out", "."), ". has no name of its own", "a folder for the run")
    refused(call("report", "."), "no run at .", "check the path")
    refused(call("predict", "--bundle", run_dir, study/"images", "--out", tmp_path), "is a folder", "a CSV to write")
    refused(call("predict", "--bundle", run_dir, study/"images", "--out", "."), "is a folder")
    (tmp_path/"c.json").write_text(json.dumps(json.loads((run_dir/"config.json").read_text()) | dict(epochs="5")))
    refused(call("train", "--config", tmp_path/"c.json", "--out", tmp_path/"out"), "epochs '5' in", "a value of type int")
    assert [p.name for p in tmp_path.iterdir()] == ["c.json"]


def limited():
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file size")
def test_a_full_disk_leaves_the_earlier_run(call, study, run_dir, tmp_path):
    "The disk is played by a limit on the size of a file: the checkpoint does not fit."
    shutil.copytree(run_dir, tmp_path/"run")
    before = {p: p.read_bytes() for p in (tmp_path/"run").rglob("*") if p.is_file()}
    p = process("train", "--manifest", study/"manifest.csv", *SMALL, "--seed", 1, "--out", tmp_path/"run", preexec_fn=limited)
    refused((p.returncode, p.stdout, p.stderr), "--resume", code=1)
    assert {p: p.read_bytes() for p in (tmp_path/"run").rglob("*") if p.is_file()} == before
    assert call("evaluate", tmp_path/"run")[0] == 0
    code, _, err = call("train", "--manifest", study/"manifest.csv", *SMALL, "--seed", 1, "--out", tmp_path/"run", "--resume")
    assert code == 0 and (tmp_path/"run.previous"/"config.json").is_file(), err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_run_resumes_to_the_same_end(call, study, tmp_path):
    args = ["train", "--manifest", str(study/"manifest.csv"), *SMALL, "--epochs", "4"]
    assert call(*args, "--out", tmp_path/"whole")[0] == 0
    p = subprocess.Popen([COMMAND, *args, "--out", str(tmp_path/"run")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = tmp_path/"run.partial"/"log.csv"
    while p.poll() is None and not (log.is_file() and len(pd.read_csv(log)) >= 2): pass
    assert p.poll() is None, "it ended before it could be killed"
    p.kill()
    p.wait()
    assert not (tmp_path/"run").exists()
    assert call(*args, "--out", tmp_path/"run", "--resume")[0] == 0
    for name in ("log.csv", "predictions.csv", "metrics.json"): assert (tmp_path/"run"/name).read_bytes() == (tmp_path/"whole"/name).read_bytes()


def test_help_imports_no_torch():
    code = "import sys; from covid_fastai.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    p = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert p.returncode == 0 and "train" in p.stdout


@pytest.mark.real
def test_awkward_originals(call, run_dir, real_data, tmp_path):
    code, out, err = call("predict", "--bundle", run_dir, real_data/"raw", "--out", tmp_path/"p.csv")
    preds = read_table(tmp_path/"p.csv")
    refused_names = {os.path.basename(f) for f in preds.loc[preds["status"] == "refused", "filename"]}
    assert code == 0 and len(preds) == len(list((real_data/"raw").iterdir()))
    assert refused_names == {"README.md", "jkms-35-e79-g001-l-d.jpg", "covid-19-pneumonia-30-L.jpg", "nejmoa2001191_f1-L.jpeg"}, "a text, a CT slice, two lateral views"
    assert err.count("refused: ") == 4


PREDS = pd.DataFrame(dict(filename=list("abcd"), patient_id=list("ppqr"), split="test", fold=["0", "0", "1", "1"], target=["covid", "covid", "normal", "normal"], p_covid=[.9, .6, .3, .2], p_normal=[.1, .4, .7, .8]))


@pytest.mark.parametrize("change, said", [
    (dict(p_normal=[.3, .4, .7, .8]), "probabilities that do not sum to 1 in 1 of 4 rows, first a"),
    (dict(p_covid=[None, .6, .3, .2]), "a probability that is missing or no number in 1 of 4 rows"),
    (dict(target=["covid", "covid", "normal", "sars"]), "unknown target in task covid-normal 'sars'"),
    (dict(filename=list("abcc")), "1 rows repeat a film, first c"),
    (dict(fold=["0", "1", "1", "1"]), "1 patients are among the test films of several folds, first p (folds 0, 1)"),
])
def test_evaluate_refuses_a_table_in_one_line(call, tmp_path, change, said):
    PREDS.assign(**change).to_csv(tmp_path/"p.csv", index=False)
    refused(call("evaluate", tmp_path/"p.csv"), said)


def test_evaluate_takes_one_class_and_tables_without_patients(call, tmp_path):
    PREDS[:2].to_csv(tmp_path/"one.csv", index=False)
    code, out, _ = call("evaluate", tmp_path/"one.csv")
    assert code == 0 and "undefined: one class" in out and "Few patients (covid 1)" in out
    PREDS.drop(columns="patient_id").to_csv(tmp_path/"films.csv", index=False)
    code, out, _ = call("evaluate", tmp_path/"films.csv")
    assert code == 0 and "No patient is named" in out


def test_nothing_is_chosen_on_test_films(call, tmp_path):
    PREDS.to_csv(tmp_path/"p.csv", index=False)
    refused(call("evaluate", tmp_path/"p.csv", "--calibrate"), "no row of split 'valid'; expected one of test")
    refused(call("evaluate", tmp_path/"p.csv", "--sensitivity", "0.9"), "no row of split 'valid'")


# Audit

def test_audit_of_a_run_and_of_another_tools_table(call, run_dir, study, tmp_path):
    shutil.copytree(run_dir, tmp_path/"run")
    code, out, _ = call("audit", tmp_path/"run")
    verdict = json.loads((tmp_path/"run"/"audit"/"verdict.json").read_text())
    assert code == 0 and f"verdict: {verdict['verdict']}" in out and DISCLAIMER in out and all(f"- {r}" in out for r in verdict["reasons"])
    assert {"metadata", "source", "no lungs", "frame", "mask", "lungs", "16 px", "whole"} <= {c["control"] for c in verdict["controls"]}
    assert json.loads((tmp_path/"run"/"metrics.json").read_text())["verdict"] == verdict["verdict"] and f"Verdict: {verdict['verdict']}" in call("evaluate", tmp_path/"run")[1]
    page = (tmp_path/"run"/"audit"/"audit.html").read_text()
    assert DISCLAIMER in page and "http" not in page and (tmp_path/"run"/"audit"/"gate.png").stat().st_size > 10_000
    other = read_table(run_dir/"predictions.csv").query("split == 'test'")[["filename", "target", "p_covid", "p_normal", "p_other", "split"]]
    write_csv(tmp_path/"other.csv", other)
    code, out, _ = call("audit", "--manifest", study/"manifest.csv", "--predictions", tmp_path/"other.csv", "--out", tmp_path/"audit")
    assert code == 0 and {c["control"] for c in json.loads((tmp_path/"audit"/"verdict.json").read_text())["controls"]} == {"size", "metadata", "source"}
    code, out, _ = call("audit", "--manifest", study/"manifest.csv", "--out", tmp_path/"films")
    assert code == 0 and (tmp_path/"films"/"audit.html").is_file() and not (tmp_path/"films"/"verdict.json").exists()


def test_audit_of_another_split_leaves_the_verdict_of_the_test_films(call, run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path/"run")
    assert call("audit", tmp_path/"run")[0] == 0
    before = {name: (tmp_path/"run"/name).read_bytes() for name in ("audit/verdict.json", "audit/gate.png", "metrics.json")}
    assert call("audit", tmp_path/"run", "--split", "valid")[0] == 0
    assert {name: (tmp_path/"run"/name).read_bytes() for name in before} == before
    assert [json.loads((tmp_path/"run"/name/"verdict.json").read_text())["split"] for name in ("audit", "audit-valid")] == ["test", "valid"]


def test_audit_of_the_films_of_a_task(call, run_dir, study, tmp_path):
    films = read_table(study/"manifest.csv")
    code, out, _ = call("audit", "--manifest", study/"manifest.csv", "--task", "covid-normal", "--out", tmp_path/"films")
    n = films["label"].isin(["covid", "normal"]).sum()
    assert code == 0 and 0 < n < len(films) and f"<p>{n} films." in (tmp_path/"films"/"audit.html").read_text()
    preds = read_table(run_dir/"predictions.csv").query("split == 'test'")
    write_csv(tmp_path/"p.csv", preds.assign(target=preds["target"].replace({"normal": "noncovid", "other": "noncovid"}))[["filename", "target", "p_covid"]])
    assert call("audit", "--manifest", study/"manifest.csv", "--predictions", tmp_path/"p.csv", "--task", "covid-noncovid", "--out", tmp_path/"judged")[0] == 0
    page = (tmp_path/"judged"/"audit.html").read_text()
    assert f"<p>{len(films)} films." in page and "noncovid" in page and (tmp_path/"judged"/"verdict.json").is_file()
    refused(call("audit", "--manifest", study/"manifest.csv", "--predictions", tmp_path/"p.csv", "--task", "covid-normal", "--out", tmp_path/"x"), "unknown target in task covid-normal 'noncovid'")
    refused(call("audit", run_dir, "--task", "covid-normal"), "--task with a run; expected one of them")


def test_audit_refuses(call, run_dir, study, tmp_path):
    refused(call("audit"), "nothing to audit; expected a run folder, or --manifest")
    refused(call("audit", run_dir, "--manifest", study/"manifest.csv"), "a run and a manifest")
    refused(call("audit", run_dir, "--predictions", run_dir/"predictions.csv"), "--predictions with a run")
    refused(call("audit", run_dir, "--out", tmp_path/"x", "--split", "trial"), "no row of split 'trial'")
    refused(call("audit", run_dir, "--out", tmp_path/"x", "--lungs", run_dir), "is for classifier; expected one for lungs")
