"The pages of the site as MyST Markdown, from what the repository holds: README, notebooks, docs, parser."
import argparse
import ast
import inspect
import os
import re
from pathlib import Path

from covid_fastai.core import SPLITS, write_bytes, write_text

from .notebooks import module_of, page, summary
from .reference import PACKAGE, comments, kind_of, members, plain, public, rows, signature

SPAN = re.compile(r"(?<![`\[])`([^`\n]+)`(?!`)")
PROJECT = ("CONTRIBUTING", "CHANGELOG")  # Files of the root that are pages
ABOUT = dict(commands="Every verb with its help text.", symbols="Every public name with its module and its one line.", modules="How each module is made, why, and its reference.", walkthroughs="Stories on phantoms, from films to a verdict.", results="What was measured on real films.")
OWN = ("index", "commands", "symbols", "modules", "walkthroughs", "results", "design", "contributing", "changelog", "search", "genindex")


def write_pages(
    root: Path,  # The repository
    out: Path,  # An empty folder
    only: tuple = (),  # Modules to show; all when empty
) -> dict:  # Page -> (title, one line), in the order of the menu
    "Write every page; a link that the text does not spell out is added here."
    notebooks = {module_of(p): p for p in sorted((root/"nbs").glob("*.ipynb")) if module_of(p) and (not only or module_of(p) in only)}
    stories = {f"walkthroughs/{p.stem}": p for p in sorted((root/"nbs"/"walkthroughs").glob("*.ipynb"))}
    results = {f"results/{p.stem.lower()}": p for p in sorted((root/"docs").glob("*.md")) if p.stem != "DESIGN"}
    if clash := set(notebooks) & set(OWN): raise ValueError(f"a module has the name of a page: {', '.join(sorted(clash))}")
    texts = {n: page(p, (out/n).parent/"images") for n, p in (notebooks | stories).items()}
    files = notebooks | stories | results | {n.lower(): root/f"{n}.md" for n in PROJECT} | dict(index=root/"README.md", design=root/"docs"/"DESIGN.md")
    texts |= {n: p.read_text(encoding="utf-8") for n, p in files.items() if n not in texts}
    texts["index"] = re.sub(r"(!\[[^\]]*\]\()docs/", r"\1results/", texts["index"])  # pictures lie beside the results
    texts |= dict(design=design(texts["design"], root, list(notebooks)), commands=commands(), symbols=symbols(notebooks))
    texts |= {n: relinked(texts[n], p, root, files) for n, p in files.items()}
    about = {n: (title(t), ABOUT.get(n) or (summary(p) if (p := (notebooks | stories).get(n)) else first_line(t))) for n, t in texts.items()}
    for name, part in dict(modules=notebooks, walkthroughs=stories, results=results).items():
        texts[name], about[name] = overview(name.capitalize(), part, about), (name.capitalize(), ABOUT[name])
    places, verbs = where(root, notebooks, stories, results), {v: f"/commands.md#{v.replace(' ', '-')}" for v, _ in parsers()}
    for name, text in texts.items():
        own = name in notebooks or name in stories or name == "symbols"  # elsewhere a verb's name is the verb
        write_text(out/f"{name}.md", linked(text, places, name, {} if own else verbs) + menu()*(name == "index"))
    for p in (root/"docs").rglob("*"):
        if p.is_file() and p.suffix != ".md" and p.name != "house.svg": write_bytes(out/"results"/p.relative_to(root/"docs"), p.read_bytes())
    return about


# Links

def where(
    root: Path,  # The repository
    notebooks: dict,  # Module -> notebook
    stories: dict,  # Page -> notebook
    results: dict,  # Page -> file
) -> dict:  # What may stand between backticks -> [(role, target)]
    "Where the names that prose mentions are explained."
    out = {}
    for m, p in notebooks.items():
        for n, o in public(m).items():
            target = f"{PACKAGE}.{m}.{n}"
            elsewhere = getattr(o, "__module__", "") in {f"{PACKAGE}.{k}" for k in notebooks} - {f"{PACKAGE}.{m}"}
            for key in (n, f"{m}.{n}", target)[elsewhere:]: out.setdefault(key, []).append(("py:obj", target))
            if inspect.isclass(o):
                for k in members(o): out.setdefault(f"{n}.{k}", []).append(("py:obj", f"{target}.{k}"))
        for key in (f"{PACKAGE}.{m}", f"{PACKAGE}/{m}.py", p.relative_to(root).as_posix()): out[key] = [("doc", f"/{m}")]
    for m in notebooks: out.setdefault(m, [("doc", f"/{m}")])
    for s, p in (stories | results).items(): out[p.relative_to(root).as_posix()] = [("doc", f"/{s}")]
    return out | {"docs/DESIGN.md": [("doc", "/design")], "CONTRIBUTING.md": [("doc", "/contributing")], "CHANGELOG.md": [("doc", "/changelog")]}


def relinked(
    text: str,  # MyST
    file: Path,  # Where it comes from
    root: Path,  # The repository
    files: dict,  # Page -> the file that it comes from
) -> str:
    "Links to files of the repository as links to their pages; to a file that is no page, as its name alone."
    page_of = {p.resolve(): n for n, p in files.items()}

    def better(m):
        target = (file.parent/m[2]).resolve()
        if target in page_of: return f"[{m[1]}](/{page_of[target]}.md{m[3] or ''})"
        return m[1] if target.exists() and target.is_relative_to(root.resolve()) else m[0]

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)", better, text)


def linked(
    text: str,  # MyST
    places: dict,  # Of `where`
    module: str = "",  # Whose page it is: its own names come first
    verbs: dict = {},  # Verb of the command line -> address
) -> str:
    "Names between backticks as links, outside of headings, of code and of the first column of tables; there only verbs are."
    fence, out = "", []
    for line in text.split("\n"):
        mark = re.match(r"\s*(```+)", line)
        if mark and not fence: fence = mark[1]
        elif fence and line.strip() == fence: fence = ""
        elif not fence and not re.match(r"#+ |:|    ", line): line = _linked_line(line, places, module, verbs)
        out.append(line)
    return "\n".join(out)


def _linked_line(line, places, module, verbs):
    head, rest = re.match(r"(\| [^|]*\|)?(.*)", line).groups("")
    def verb(m): return f"[`{m[1]}`]({verbs[m[1]]})"

    head = SPAN.sub(lambda m: verb(m) if m[1] in verbs else m[0], head)
    return head + SPAN.sub(lambda m: m[0] if m[1] in SPLITS else verb(m) if m[1] in verbs else _link(m, places, module), rest)


def _link(m, places, module):
    found = places.get(m[1].removesuffix("()"), [])
    own = [p for p in found if p[1].startswith(f"{PACKAGE}.{module}.")]
    role, target = own[0] if own else found[0] if len(found) == 1 else ("", "")
    if not role or target == f"/{module}": return m[0]
    return f"{{py:obj}}`{m[1]} <{target}>`" if role == "py:obj" else f"{{doc}}`{m[1]} <{target}>`"


def title(text: str) -> str: return re.search(r"^# (.+)", text, re.M)[1]


def first_line(text: str) -> str:
    "The first sentence of a page below its title."
    body = re.sub(r"^(#.*|>\s*)", "", text, flags=re.M).strip()
    return re.split(r"(?<=\.)\s", " ".join(body.split("\n\n")[0].split()))[0]


# Pages that no file holds

def menu() -> str:
    "The menu at the side; Sphinx reads it from the first page."
    groups = (("Use", ("walkthroughs", "commands", "results")), ("Reference", ("modules", "symbols")), ("Project", ("design", "contributing", "changelog")))
    return "".join(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n" for caption, names in groups)


def overview(
    head: str,  # Title
    names,  # Its pages
    about: dict,  # Page -> (title, line)
) -> str:
    "A page that lists others, and puts them below itself in the menu."
    table = "\n".join(f"| {{doc}}`/{n}` | {about[n][1]} |" for n in names)
    toc = "\n".join(f"/{n}" for n in names)
    return f"# {head}\n\n| Page | What it is about |\n| --- | --- |\n{table}\n\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"


def parsers() -> list:  # (verb, its parser)
    "Every verb of the command line."
    from covid_fastai.cli import parser

    def below(p, name):
        subs = [a for a in p._actions if isinstance(a, argparse._SubParsersAction)]
        if not subs: yield name, p
        for a in subs:
            for n, q in a.choices.items(): yield from below(q, f"{name} {n}".strip())

    return list(below(parser(), ""))


def commands() -> str:
    "The help of every verb, as `--help` prints it."
    from covid_fastai.cli import parser

    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "92", "1"
    parts = [f"# Command line\n\n{len(parsers())} verbs; `covid_fastai VERB --help` prints what stands here.\n\n```text\n{parser().format_help()}```"]
    parts += [f"## {verb}\n\n{plain(p.description or '')}\n\n```text\n{p.format_help()}```" for verb, p in parsers()]
    return "\n\n".join(parts) + "\n"


def symbols(
    notebooks: dict,  # Module -> notebook
) -> str:
    "A table of all public names."
    found = sorted(((n, m, o) for m in notebooks for n, o in public(m).items()), key=lambda s: s[0].lower())
    notes = {m: comments(m) for m in notebooks}
    lines = [f"| {{py:obj}}`{n} <{PACKAGE}.{m}.{n}>` | {{doc}}`{m} </{m}>` | {kind_of(o)} | {one_line(o) or plain(notes[m].get(n, ''))} |" for n, m, o in found]
    return f"# Symbols\n\n{len(found)} public names in {len(notebooks)} modules.\n\n| Name | Module | Kind | What |\n| --- | --- | --- | --- |\n" + "\n".join(lines) + "\n"


def one_line(obj) -> str:
    "The first line of what an object says of itself."
    if kind_of(obj) == "data": return ""
    return plain((inspect.getdoc(obj) or "").split("\n")[0])


# The design

def layers(
    root: Path,  # The repository
    names: list,  # Modules, in the order of their notebooks
) -> list:  # Lists of modules; each imports only from lists before its own
    "The modules by the longest way down to one that imports none."
    depth = {}
    for i, name in enumerate(names):
        below = [n for n in imported(root/PACKAGE/f"{name}.py") if n in names[:i]]
        depth[name] = 1 + max((depth[n] for n in below), default=-1)
    return [[n for n in names if depth[n] == d] for d in range(max(depth.values(), default=-1) + 1)]


def imported(
    path: Path,  # A module
) -> set:
    "Modules of the package that a module imports, at its top or late."
    nodes = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.ImportFrom)]
    paths = [f"{PACKAGE}.{n.module}" if n.level and n.module else n.module or "" for n in nodes]
    return {p.split(".")[1] for p in paths if p.startswith(f"{PACKAGE}.")}


def design(
    text: str,  # Of docs/DESIGN.md
    root: Path,  # The repository
    names: list,  # Modules
) -> str:
    "The design with the picture in the page and the layers as the tree has them."
    svg = (root/"docs"/"house.svg").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\(house\.svg\)", lambda _: f"```{{raw}} html\n<div class=\"house\">{svg}</div>\n```", text)
    rows = "\n".join(f"| {i} | {', '.join(f'{{doc}}`{n} </{n}>`' for n in layer)} |" for i, layer in enumerate(layers(root, names)))
    return text.replace("<!-- layers -->", f"| Layer | Modules |\n| --- | --- |\n{rows}")


# For programs that read

def llms(
    about: dict,  # Page -> (title, line)
    names: list,  # Modules
) -> str:
    "llms.txt: title, summary, and a line for each page (llmstxt.org)."
    def part(head, pages): return f"## {head}\n\n" + "\n".join(f"- [{about[n][0]}]({n}.html): {about[n][1]}" for n in pages)

    stories, results = ([n for n in about if n.startswith(f"{f}/")] for f in ("walkthroughs", "results"))
    parts = [f"# {PACKAGE}", f"> {about['index'][1]}", "Research use only, not a medical device. Everything on one page: [llms-full.txt](llms-full.txt).",
        part("Use", ["index", "commands", *stories, *results]), part("Design", ["design", "symbols"]), part("Modules", names), part("Optional", ["contributing", "changelog"])]
    return "\n\n".join(parts) + "\n"


def llms_full(
    root: Path,  # The repository
    names: list,  # Modules
) -> str:
    "README, design, command line and reference in one text."
    parts = [(root/"README.md").read_text(encoding="utf-8"), (root/"docs"/"DESIGN.md").read_text(encoding="utf-8"), re.sub(r"^#", "##", commands(), flags=re.M)]
    for m in names: parts.append(f"## {PACKAGE}.{m}\n\n" + "\n\n".join(as_text(n, o) for n, o in public(m).items()))
    return "\n\n".join(p.strip() for p in parts) + "\n"


def as_text(
    name: str,  # As exported
    obj,  # What it names
) -> str:
    "A public name as plain Markdown."
    if kind_of(obj) == "data": return f"### `{name}`"
    lines = [f"- `{n}`{f' ({t})' if t else ''}{f' = {d}' if d else ''}: {w}" for n, t, d, w in rows(obj)]
    return "\n\n".join(p for p in (f"### `{name}{signature(obj) or ''}`", inspect.getdoc(obj) or "", "\n".join(lines)) if p)
