"The gate on a few studies whose truth is known; `bench/gate.py` does it on a hundred and prints the table."
import importlib.util

import pytest
from conftest import ROOT


def bench():
    spec = importlib.util.spec_from_file_location("bench_gate", ROOT/"bench"/"gate.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


@pytest.mark.slow
def test_each_kind_of_planted_shortcut_is_found_and_a_clean_study_does_not_fail(tmp_path):
    gate = bench()
    planted = [gate.one_study(i, True, tmp_path/f"planted-{i}", patients=120, epochs=8) for i in range(len(gate.SHORTCUTS))]
    clean = gate.one_study(0, False, tmp_path/"clean", patients=120, epochs=8)
    assert [r["planted"] for r in planted] == list(gate.SHORTCUTS) and [r["found"] for r in planted] == [True] * len(planted), planted
    assert clean["verdict"] != "FAIL" and not clean["found"], clean
