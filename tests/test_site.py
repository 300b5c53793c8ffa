"The documentation site: its checks find what they are for, and its pages say what the objects say."
import re
from html import unescape

import pytest
from conftest import ROOT, help_of, nothing_in
from docs import build
from website import pages
from website.agree import commas, disagreement, disagreements, of_name, split, text
from website.house import house
from website.links import Page, external, faults
from website.notebooks import module_of, page
from website.reference import entry, public

MODULES = ("core", "phantom", "tables", "cams")
NOTEBOOKS = {module_of(p): p for p in sorted((ROOT/"nbs").glob("*.ipynb")) if module_of(p)}


# Links

def test_a_dead_link_is_found(tmp_path):
    (tmp_path/"sub").mkdir()
    (tmp_path/"index.html").write_text('<h1 id="top">A</h1><a href="#top">here</a><a href="sub/b.html#s%C3%A9">there</a><a href="https://example.org/x">out</a><img src="c.png"><a href="sub/">folder</a>')
    (tmp_path/"sub"/"b.html").write_text('<p id="sé"><a href="../index.html?q=1#top">up</a><a href="../gone.html">gone</a><a href="../index.html#lost">lost</a></p><b id="x"></b><i id="x"></i>')
    (tmp_path/"sub"/"index.html").write_text('<link rel="stylesheet" href="https://cdn.example.org/a.css"><script src="//cdn.example.org/a.js"></script>')
    (tmp_path/"a.css").write_text("@import url(https://fonts.example.org/f); .a { background: url(data:image/png;base64,AA) }")
    (tmp_path/"llms.txt").write_text("- [A](index.html): a\n- [B](b.html): b\n")
    assert sorted(faults(tmp_path)) == [
        "a.css: loads https://fonts.example.org/f", "index.html: c.png leads nowhere", "llms.txt: b.html leads nowhere", "sub/b.html: ../gone.html leads nowhere", "sub/b.html: ../index.html#lost names no place there",
        "sub/b.html: id x stands twice", "sub/index.html: loads //cdn.example.org/a.js", "sub/index.html: loads https://cdn.example.org/a.css"]
    assert external(tmp_path) == ["https://example.org/x"]


def test_links_between_files_become_links_between_pages(tmp_path):
    (tmp_path/"docs").mkdir()
    for name in ("README.md", "LICENSE", "docs/RESULTS.md", "docs/a.png"): (tmp_path/name).touch()
    files = {"index": tmp_path/"README.md", "results/results": tmp_path/"docs"/"RESULTS.md"}
    def said(text_): return pages.relinked(text_, files["results/results"], tmp_path, files)
    assert said("[home](../README.md#fast), [this](RESULTS.md)") == "[home](/index.md#fast), [this](/results/results.md)"
    assert said("[terms](../LICENSE) ![film](a.png)") == "terms ![film](a.png)"
    assert said("[x](gone.md) [y](https://example.org) [z](#here)") == "[x](gone.md) [y](https://example.org) [z](#here)"


# Reference

def test_a_call_is_taken_apart():
    assert commas("a, b(1, 2), 'c, \\') d') -> int") == (["a", " b(1, 2)", " 'c, \\') d'"], " -> int")
    assert split("x: pathlib.Path | None = None, *, y=',', **k: Union[int, tuple[int, int]]) -> pandas.DataFrame") == (
        ("x", "Path|None", "None"), ("*", "", ""), ("y", "", "','"), ("**k", "int|tuple[int,int]", ""), ("->", "DataFrame", ""))


def test_an_entry_says_what_the_object_says():
    def area(
        side: float,  # In mm, `a|b` <or> more
        say=lambda text: None,  # Called with a line
        kind: type = float,  # Of the result
    ) -> float:  # In mm²
        "Of a *square*."

    assert entry("area", area) == "\n".join([
        ":::{py:function} area(side: float, say=..., kind: type = float) -> float", "", r"Of a \*square\*.", "", "| Parameter | Type | Default | What |", "| --- | --- | --- | --- |",
        r"| `side` | `float` |  | In mm, `a|b` \<or\> more |", "| `say` |  | `...` | Called with a line |", "| `kind` | `type` | `float` | Of the result |", "| returns | `float` |  | In mm² |", ":::"])


def test_every_public_name_has_an_entry(tmp_path):
    missing = []
    for module, path in NOTEBOOKS.items():
        found = re.findall(r"^:+\{py:(?:function|class|exception|data)\} (\w+)", page(path, tmp_path/"images"), re.M)
        missing += [f"{module}.{n}" for n in public(module) if found.count(n) != 1]
    nothing_in(missing)


# A site of a few pages

@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The site with some of the modules."
    for name in ("sphinx", "furo", "myst_parser"): pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("docs")/"site"
    assert build(folder, MODULES) == [m for m in NOTEBOOKS if m in MODULES]
    return folder


def read(site, name): return (site/name).read_text(encoding="utf-8")


def test_it_has_no_fault(site): nothing_in(faults(site))


def test_it_agrees_with_help(site): nothing_in(disagreements(site, MODULES))


def test_nbdev_finds_its_names_on_it(site):
    from covid_fastai._modidx import d
    for module in MODULES:
        ids = Page(read(site, f"{module}.html")).ids
        places = {n: p for n, (p, _) in d["syms"][f"covid_fastai.{module}"].items() if n.split(".")[2] in public(module) and "._" not in n}
        assert places and [n for n, p in places.items() if p.partition("#")[2] not in ids] == []


def test_a_disagreement_is_found(site):
    html, get_task = read(site, "core.html"), public("core")["get_task"]
    def said(changed): return disagreement(changed, "core", "get_task", get_task)
    assert said(html) == ""
    assert said(html.replace('id="covid_fastai.core.get_task"', "")) == "has no place on the page"
    assert said(html.replace("A task by its name.", "A task.")) == "help says 'A task by its name.'"
    assert said(html.replace("A task or its name", "A name")) == "the comment of task is missing"
    head = text(of_name(html, "covid_fastai.core.get_task")[0])
    assert said(html.replace('<span class="n"><span class="pre">task</span></span>', '<span class="n"><span class="pre">name</span></span>')).startswith(f"the page calls it as {head[:9]}")
    study = read(site, "phantom.html")
    assert disagreements(site, ("phantom",)) == []
    (site/"phantom.html").write_text(study.replace("The generator of one choice", "The generator of two choices"), encoding="utf-8")
    try: assert [d.partition(": help says")[0] for d in disagreements(site, ("phantom",))] == ["phantom.html: StudyPlan.stream"]
    finally: (site/"phantom.html").write_text(study, encoding="utf-8")
    assert "gate.html: Control: has no place on the page" in disagreements(site, ("gate",))


def test_names_in_prose_lead_to_their_place(site):
    assert re.search(r'href="core\.html#covid_fastai\.core\.InputError"[^>]*>.*?InputError', read(site, "design.html"))
    assert re.search(r'href="commands\.html#train"[^>]*>.*?train', read(site, "index.html"))


def test_commands_are_those_of_the_parser(site):
    texts = [unescape(re.sub("<[^>]+>", "", b)) for b in re.findall(r"<pre>(.+?)</pre>", read(site, "commands.html"), re.S)]
    for verb in ("train", "bundle push"):
        assert any(t.strip() == help_of(verb).strip() for t in texts), verb


def test_outputs_and_pictures_are_shown(site):
    html = read(site, "phantom.html")
    assert '<table border="1" class="dataframe">' in html
    assert [u for u in Page(html).loads if u.startswith("_images/phantom") or "_images/" in u]


def test_llms_txt(site):
    lines = read(site, "llms.txt").splitlines()
    assert lines[0] == "# covid_fastai" and lines[2].startswith("> Transfer learning on chest X-rays")
    assert "- [core](core.html): The words of the package: labels, tasks, the error a user sees, files that are whole or absent." in lines
    assert "### `get_task(task: str | Task) -> Task`\n\nA task by its name.\n\n- `task` (str | Task): A task or its name" in read(site, "llms-full.txt")


# The design

def test_layers_are_those_of_the_imports(tmp_path):
    folder = tmp_path/pages.PACKAGE
    folder.mkdir()
    for name, text_ in dict(a="", b="from .a import x", c="def f():\n    from covid_fastai.b import y", d="from . import x\nfrom .a import z\nfrom .e import late", e="import json").items(): (folder/f"{name}.py").write_text(text_)
    assert pages.layers(tmp_path, ["a", "b", "c", "d", "e"]) == [["a", "e"], ["b", "d"], ["c"]]


def test_the_picture_is_the_one_that_is_drawn(): assert (ROOT/"docs"/"house.svg").read_text(encoding="utf-8") == house(), "run python tools/docs.py --house"
