"What several test files share."
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


LONGEST = ("test_networks", "test_studies", "test_explanations", "test_real", "test_distributed", "test_crossval")


def pytest_collection_modifyitems(items):
    "The longest files first: where several processes share the tests, a file stays in one of them."
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def nothing_in(found):
    "Fails with every line of a list of faults; pytest's own message shows only the first."
    assert not found, "\n" + "\n".join(found)


@cache
def help_of(verb):
    "What `covid_fastai VERB --help` prints, from a process of its own."
    done = subprocess.run([sys.executable, "-m", "covid_fastai", *verb.split(), "--help"], capture_output=True, text=True, env=os.environ | dict(COLUMNS="92", NO_COLOR="1"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def flags_without_help(command):
    "Flags of a command, such as `train --arch vgg16`, that the help of its verb does not name."
    verb = re.match(r"(?:(?:manifest|data|lungs|bundle) )?\w+", command)[0]
    return [f for f in re.findall(r"--[a-z-]+", command) if not re.search(rf"{f}\b(?!-)", help_of(verb))]


def folder_of(variable):
    "The folder that an environment variable names; a skip that says so where it is not set."
    if not os.environ.get(variable): pytest.skip(f"{variable} is not set")
    folder = Path(os.environ[variable])
    assert folder.is_dir(), f"{variable} names {folder}, which is no folder"
    return folder


@pytest.fixture(scope="session", autouse=True)
def pixel_cache(tmp_path_factory):
    "Decoded films go to a folder of the session, also in the processes that tests start: the user's cache stays as it is."
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVID_FASTAI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data():
    "The folder with the real films: `cxr/manifest.csv` and `raw/`."
    return folder_of("COVID_FASTAI_DATA")


@pytest.fixture(scope="session")
def real_weights():
    "The folder with pretrained weights files."
    return folder_of("COVID_FASTAI_WEIGHTS")


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    "A small phantom study that tests may read and must not change: 24 patients, 96 px; its folder."
    from covid_fastai.phantom import phantom_study

    folder = tmp_path_factory.mktemp("phantoms")/"study"
    phantom_study(folder, n_patients=24, size=96, seed=0)
    return folder
