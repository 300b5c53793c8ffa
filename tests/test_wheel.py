"The wheel: what is in it, and that it works where no source tree is."
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes

import pytest
from conftest import ROOT


def run(*args, **kwargs):
    "A finished process; its output is shown when it fails."
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "The wheel, built from a copy so that the tree stays as it is; without isolation, so that no network is needed."
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "settings.ini", "setup.py", "README.md", "LICENSE"): shutil.copy(ROOT/name, source)
    for name in ("covid_fastai", "nbs", "tests", "tools"): shutil.copytree(ROOT/name, source/name, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    "The wheel in a folder of its own, and an environment that finds it before the source tree."
    target = tmp_path_factory.mktemp("target")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", target, wheel)
    return target, os.environ | dict(PYTHONPATH=str(target))


def test_it_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        metadata = message_from_bytes(z.read(next(n for n in names if n.endswith("/METADATA"))))
    info = metadata["Name"] + "-" + metadata["Version"] + ".dist-info"
    assert {n.split("/")[0] for n in names} == {"covid_fastai", info}
    assert {n for n in names if n.startswith("covid_fastai/")} == {f"covid_fastai/{p.name}" for p in (ROOT/"covid_fastai").glob("*.py")}
    assert f"{info}/licenses/LICENSE" in names
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert metadata.get_payload(decode=True).decode("utf-8").strip() == (ROOT/"README.md").read_text(encoding="utf-8").strip()


def test_it_imports_where_no_source_tree_is(installed, tmp_path):
    target, env = installed
    out = run(sys.executable, "-c", "import covid_fastai, covid_fastai.cli; print(covid_fastai.__file__, covid_fastai.cli.__file__)", cwd=tmp_path, env=env)
    assert out.split() == [str(target/"covid_fastai"/n) for n in ("__init__.py", "cli.py")]


def test_its_command_answers(installed, tmp_path):
    target, env = installed
    out = run(sys.executable, target/"bin"/"covid_fastai", "--help", cwd=tmp_path, env=env)
    for verb in ("demo", "manifest", "train", "crossval", "evaluate", "explain", "predict"): assert verb in out
