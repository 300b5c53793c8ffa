"What the README says works as it stands there."
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT, flags_without_help

README = (ROOT/"README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^covid_fastai .+|(?<=`)covid_fastai [^`]+(?=`)", README, re.M)))


def test_it_says_what_the_package_is_for(): assert "Research use only, not a medical device." in README


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_have_the_flags_they_use(command):
    assert flags_without_help(command.removeprefix("covid_fastai ")) == []


def test_its_verbs_are_all_there(): assert {re.match(r"covid_fastai (\w+)", c)[1] for c in COMMANDS} == {"demo", "data", "manifest", "train", "crossval", "evaluate", "explain", "ablate", "reproduce", "audit", "report", "lungs", "predict", "bundle", "app"}


@pytest.mark.slow
def test_its_script_runs(tmp_path):
    (script,) = re.findall(r"```python\n(from covid_fastai\.manifest .+?)```", README, re.S)
    assert len([line for line in script.splitlines() if line and not line.startswith("from ")]) <= 10
    (tmp_path/"script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, env=os.environ | dict(MPLBACKEND="agg"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"accuracy.*0\.\d+", done.stdout)
