"The shape of the repository: imports go downhill, everything public is shown and explained, nothing is too big."
import importlib
import json
import re
import subprocess
from configparser import ConfigParser
from importlib.metadata import packages_distributions

import pytest
import tree
from conftest import ROOT, nothing_in

GENERATED_ALL = "__all__ = ['f', 'K', 'Plan']\n"


def in_git():
    "Files that are, or could be, committed."
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if out.returncode: pytest.skip(f"git does not list the files: {out.stderr.strip()}")
    return [n for n in out.stdout.split("\0") if (ROOT/n).is_file()]


def notebook(*sources):
    "A notebook of code cells, as JSON."
    return json.dumps(dict(cells=[dict(cell_type="code", source=s, outputs=[]) for s in sources]))


@pytest.fixture
def made_up(tmp_path):
    "A tree with two modules, `low` (00) and `high` (01), that keeps every rule; tests break it."
    for folder in ("nbs", tree.PACKAGE): (tmp_path/folder).mkdir()
    for n, name in enumerate(("low", "high")): (tmp_path/"nbs"/f"{n:02}_{name}.ipynb").write_text(notebook("#| export\nx", "f(1), Plan()"))
    for name in ("low", "high"): (tmp_path/tree.PACKAGE/f"{name}.py").write_text(
        GENERATED_ALL + 'from dataclasses import dataclass\n\n@dataclass\nclass Plan:\n    "A plan."\n    n: int = 1  # Films\n\n'
        'def f(\n    x,  # Pixels\n):\n    "What f does."\n    return x\n')
    (tmp_path/tree.PACKAGE/"_modidx.py").write_text("d = " + repr(dict(syms={f"covid_fastai.{m}": {f"covid_fastai.{m}.{n}": () for n in ("f", "Plan")} for m in ("low", "high")})))
    return tmp_path


def append(root, module, code): (path := root/tree.PACKAGE/f"{module}.py").write_text(path.read_text() + code)


# Imports

def test_imports_go_downhill(): nothing_in(tree.uphill_imports(ROOT))


@pytest.mark.parametrize("code", [
    "from .high import f", "from . import high", "import covid_fastai.high", "from covid_fastai import high", "from covid_fastai.high import f as g",
    "from .low import f", "from .all import *", "from .unknown import x", "import importlib\nimportlib.import_module('covid_fastai.high')",
    "def g():\n    from .high import f", "class C:\n    from .high import f", "try: import covid_fastai.high\nexcept ImportError: pass"])
def test_an_uphill_import_is_found(made_up, code):
    append(made_up, "low", code)
    assert len(tree.uphill_imports(made_up)) == 1


def test_downhill_and_late_imports_pass(made_up):
    append(made_up, "high", "from .low import f as g\nfrom covid_fastai import __version__\nimport numpy, json, covid_fastai")
    (made_up/"nbs"/"20_model_verbs.ipynb").write_text(notebook())
    (made_up/"nbs"/"21_app.ipynb").write_text(notebook())
    (made_up/tree.PACKAGE/"app.py").write_text("from .high import f")
    (made_up/tree.PACKAGE/"model_verbs.py").write_text("def main():\n    from .app import serve")
    (made_up/tree.PACKAGE/"all.py").write_text("from .low import *\nfrom .app import *")
    assert tree.uphill_imports(made_up) == []
    assert tree.foreign_imports(made_up) == {"numpy"}
    append(made_up, "model_verbs", "\nfrom .app import serve")
    assert tree.uphill_imports(made_up) == ["model_verbs (20) imports app (21), line 3"]


def test_everything_imported_is_required():
    settings = ConfigParser()
    settings.read(ROOT/"settings.ini")
    meta = settings["DEFAULT"]
    required = {re.split(r"[<>=!\[]", r)[0].lower() for name in meta if name == "requirements" or name.startswith("extras_") for r in meta[name].split()}
    homes = packages_distributions()
    nothing_in([f"{name} is imported; no requirement brings it" for name in sorted(tree.foreign_imports(ROOT))
        if not required & {d.lower() for d in homes.get(name, ())}])


# Public names

def test_everything_exported_has_an_example(): nothing_in(tree.without_example(ROOT))
def test_everything_exported_is_documented(): nothing_in(tree.undocumented(ROOT))
def test_everything_exported_is_indexed(): nothing_in(tree.not_indexed(ROOT))


def test_cells_on_real_films_run_without_them(): nothing_in(tree.unguarded(ROOT))


def test_a_cell_that_needs_films_is_found(made_up):
    assert tree.unguarded(made_up) == []
    (made_up/"nbs"/"00_low.ipynb").write_text(notebook("#| real\nfilms = os.environ['FILMS']", "#| real\nif not os.environ.get('FILMS'): print('skipped')\nelse:\n    f(1)"))
    assert tree.unguarded(made_up) == ["00_low.ipynb: films = os.environ['FILMS']"]


def test_no_two_things_are_exported_under_one_name():
    "`from covid_fastai.all import *` would give the later one."
    homes = {}
    for module in re.findall(r"(?m)^from (\S+) import \*", (ROOT/tree.PACKAGE/"all.py").read_text()):
        for name in (m := importlib.import_module(module)).__all__: homes.setdefault(name, []).append(m)
    nothing_in([f"{name} is exported by {', '.join(m.__name__ for m in found)}" for name, found in homes.items() if len({id(getattr(m, name)) for m in found}) > 1])


def test_a_missing_example_is_found(made_up):
    assert tree.without_example(made_up) == []
    no_examples = ("#| export\nf(1)", "#| real\nf(1)", "#| notest\nf(1)", "path.f(1)", "# f(1)", "'f(1)'", "%timeit f(1)", "Plan()")
    (made_up/"nbs"/"00_low.ipynb").write_text(notebook(*no_examples))
    assert tree.without_example(made_up) == ["low.f"]


def test_a_missing_comment_is_found(made_up):
    assert tree.undocumented(made_up) == []
    low = made_up/tree.PACKAGE/"low.py"
    low.write_text("__all__ = ['one_line', 'bare', 'kwargs', 'fine', 'Box', 'Plan']\n"
        "def one_line(a, b): return a  # both\n"
        "def bare(\n    a,  # Fine\n    b=dict(\n        x=1),\n    *c,\n):\n    'Doc.'\n"
        "def kwargs(\n    **kw\n): 'Doc.'\n"
        "@delegates(bare)\ndef fine(\n    a=dict(\n        x=1),  # Fine\n    *,\n    b=1,  # Fine\n    **kw\n): 'Doc.'\n"
        "class Box:\n    'A box.'\n    def __init__(\n        self,\n        width,\n    ): pass\n"
        "@dataclass(frozen=True)\nclass Plan:\n    'A plan.'\n    n: int = 1\n    m: int = 2  # Films\n")
    assert tree.undocumented(made_up) == ["low.one_line has no docstring", *(f"low.{p} has no comment" for p in (
        "one_line(a)", "one_line(b)", "bare(b)", "bare(c)", "kwargs(kw)", "Box(width)", "Plan(n)"))]


def test_a_stale_index_is_found(made_up):
    assert tree.not_indexed(made_up) == []
    append(made_up, "low", "\n__all__ = ['f']\n")
    (made_up/"nbs"/"01_high.ipynb").unlink()
    (made_up/tree.PACKAGE/"low.py").write_text("__all__ = ['new']\ndef new(): 'Doc.'\n")
    assert tree.not_indexed(made_up) == ["low.new is not in _modidx.py", "covid_fastai.high is in _modidx.py and has no notebook"]


# Sizes and places

def test_modules_and_functions_are_small(): nothing_in(tree.too_long(ROOT))
def test_notebooks_and_their_images_are_small(): nothing_in(tree.too_heavy(ROOT))
def test_no_path_of_one_machine(): nothing_in(tree.foreign_paths(ROOT, in_git(), {".ci/run": (".." + "/shared",)}))


def test_what_is_too_big_is_found(made_up):
    append(made_up, "low", "\n# comment\n"*400 + "def g():\n" + "    x = 1\n"*45)
    assert tree.too_long(made_up) == ["low.py: g has 46 lines"]
    append(made_up, "low", "y = 1\n"*300)
    assert tree.too_long(made_up)[0].startswith("low.py has 3")
    cell = dict(cell_type="code", source="", outputs=[dict(data={"image/png": "A"*400_000, "image/svg+xml": ["<", "svg>"], "text/plain": "A"})])
    (made_up/"nbs"/"00_low.ipynb").write_text(json.dumps(dict(cells=[cell])))
    assert tree.too_heavy(made_up) == [f"00_low.ipynb has {(made_up/'nbs'/'00_low.ipynb').stat().st_size} bytes", "00_low.ipynb: an image of 300000 bytes"]


def test_a_path_of_one_machine_is_found(made_up):
    append(made_up, "low", "# see .." + "/shared/data")
    name = f"{tree.PACKAGE}/low.py"
    assert tree.foreign_paths(made_up, [name], {}) == [f"{name} mentions .." + "/shared"]
    assert tree.foreign_paths(made_up, [name], {name: (".." + "/shared",)}) == []


# Words that stand in two places

def test_one_version():
    settings = ConfigParser()
    settings.read(ROOT/"settings.ini")
    version = settings["DEFAULT"]["version"]
    init = (ROOT/"covid_fastai"/"__init__.py").read_text(encoding="utf-8")
    citation = (ROOT/"CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r'^__version__ = "(.+)"$', init, re.M)[1] == version
    assert re.search(r"^version: (.+)$", citation, re.M)[1] == version
    assert version in (ROOT/"CHANGELOG.md").read_text(encoding="utf-8")
