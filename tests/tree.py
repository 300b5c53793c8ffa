"""What the tests of the repository's shape look at, read from the text alone: no module is imported.

Each function takes the root of a tree, so that `test_tree.py` can show on a made-up tree that it finds what it is for.
"""
import ast
import io
import json
import re
import sys
import tokenize
from pathlib import Path

PACKAGE = "covid_fastai"
LATE = {("model_verbs", "app")}  # importer and imported: allowed inside a function
GENERATED = ("__init__", "_modidx")
NOT_EVERYWHERE = ("real", "notest")  # cells that do not run on every machine are no examples


def order(root: Path) -> dict:
    "Module name -> place in the order of imports, from the numbers of the notebooks; `all` and `__main__` are last."
    names = [re.fullmatch(r"(\d+)_(\w+)\.ipynb", p.name) for p in sorted((root/"nbs").glob("*.ipynb"))]
    return {m[2]: int(m[1]) for m in names if m} | {"all": 1000, "__main__": 1001}


def modules(root: Path) -> dict:
    "Module name -> its syntax tree, without what nbdev generates."
    return {p.stem: ast.parse(p.read_text(encoding="utf-8")) for p in sorted((root/PACKAGE).glob("*.py")) if p.stem not in GENERATED}


# Imports

def uphill_imports(root: Path) -> list:
    "Each import of a module that does not stand below the importer."
    places = order(root)
    return [f"{name} ({places.get(name)}) imports {other} ({places.get(other)}), line {line}"
        for name, tree in modules(root).items() for other, line, late in imports(tree)
        if not places.get(other, 1000) < places.get(name, -1) and not (late and (name, other) in LATE)]


def imports(tree: ast.AST, late: bool = False):
    "Modules of the package that a tree imports: name, line, and whether it does so inside a function."
    for node in ast.iter_child_nodes(tree):
        for other in imported(node): yield other, node.lineno, late
        yield from imports(node, late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))


def imported(node: ast.AST) -> list:
    "Modules of the package that one node imports."
    if isinstance(node, ast.Import): paths = [a.name for a in node.names]
    elif isinstance(node, ast.ImportFrom): paths = from_paths(node)
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__"):
        paths = [re.sub(r"^\.", f"{PACKAGE}.", a.value) for a in node.args[:1] if isinstance(a, ast.Constant)]
    else: return []
    return [p.split(".")[1] for p in paths if p.startswith(f"{PACKAGE}.") and not p.startswith(f"{PACKAGE}.__")]


def from_paths(node: ast.ImportFrom) -> list:
    "Absolute dotted paths of a `from … import …`."
    base = ".".join(p for p in (PACKAGE if node.level else "", node.module or "") if p)
    return [f"{base}.{a.name}" for a in node.names] if base == PACKAGE else [base]


def foreign_imports(root: Path) -> set:
    "Top-level names of the packages that the modules import, at the top or late, and that are not Python's own."
    nodes = [n for tree in modules(root).values() for n in ast.walk(tree)]
    paths = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names] + [n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    return {p.split(".")[0] for p in paths} - sys.stdlib_module_names - {PACKAGE}


# Public names, their examples and their docs

def public(tree: ast.Module) -> list:
    "Functions and classes among the names in a module's `__all__`."
    names = next((ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"), [])
    return [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name in names]


def without_example(root: Path) -> list:
    "Exported functions and classes that no cell of their own notebook uses."
    return [f"{name}.{node.name}" for name, tree in modules(root).items() for node in public(tree)
        if node.name not in names_used(examples(root, name))]


def examples(root: Path, module: str) -> list:
    "Sources of the code cells of a module's notebook that are not exported and run on every machine."
    cells = [c for p in (root/"nbs").glob(f"[0-9]*_{module}.ipynb") for c in json.loads(p.read_text(encoding="utf-8"))["cells"]]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    flags = "|".join(("export", "exporti", "exports", "default_exp", *NOT_EVERYWHERE, r"eval:\s*false"))
    return [s for s in sources if not re.search(rf"^#\|\s*({flags})\b", s, re.M)]


def unguarded(root: Path) -> list:
    "Cells marked `real` that fail, in place of saying that they are skipped, where a reader runs all cells and has no films."
    cells = [(p.name, "".join(c["source"])) for p in sorted((root/"nbs").glob("[0-9]*.ipynb")) for c in json.loads(p.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    return [f"{name}: {source.splitlines()[1]}" for name, source in cells if source.startswith("#| real") and not re.match(r"#\| real\nif not os\.environ\.get\(.*\): print\(.*\)\nelse:\n", source)]


def names_used(sources: list) -> set:
    "Names that code loads; an attribute such as `path.write_text` is not the function `write_text`."
    plain = "\n".join(re.sub(r"^[%!].*$", "", s, flags=re.M) for s in sources)
    return {n.id for n in ast.walk(ast.parse(plain)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def undocumented(root: Path) -> list:
    "Exported functions and classes without a docstring, and their parameters without a comment of their own."
    out = []
    for name, tree in modules(root).items():
        comments = comment_lines(root/PACKAGE/f"{name}.py")
        for node in public(tree):
            if not ast.get_docstring(node): out.append(f"{name}.{node.name} has no docstring")
            out += [f"{name}.{node.name}({p}) has no comment" for p in bare_parameters(node, comments)]
    return out


def comment_lines(path: Path) -> set:
    "Numbers of the lines that end in a comment."
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {t.start[0] for t in tokens if t.type == tokenize.COMMENT and t.line[:t.start[1]].strip()}


def bare_parameters(node: ast.AST, comments: set) -> list:
    "Parameters of a function, or of a class's `__init__` or fields, without a comment on lines of their own."
    if isinstance(node, ast.FunctionDef): spans = parameter_spans(node)
    else:
        init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        spans = parameter_spans(init) if init else field_spans(node)
    starts = [a for _, a, _ in spans]
    return [name for name, a, b in spans if starts.count(a) > 1 or not comments & set(range(a, b + 1))]


def parameter_spans(f: ast.FunctionDef) -> list:
    "Name, first and last line of each parameter that the caller gives; `**kwargs` that `@delegates` explains is none."
    a = f.args
    rest = [a.kwarg] if a.kwarg and "delegates" not in decorators(f) else []
    plain = a.posonlyargs + a.args
    defaults = [None]*(len(plain) - len(a.defaults)) + a.defaults + [None]*bool(a.vararg) + a.kw_defaults + [None]*len(rest)
    pairs = zip(plain + [a.vararg]*bool(a.vararg) + a.kwonlyargs + rest, defaults)
    return [(p.arg, p.lineno, (d or p).end_lineno) for p, d in pairs if p.arg not in ("self", "cls")]


def field_spans(node: ast.ClassDef) -> list:
    "Name, first and last line of each field of a dataclass; nothing for another class."
    if "dataclass" not in decorators(node): return []
    return [(n.target.id, n.lineno, n.end_lineno) for n in node.body if isinstance(n, ast.AnnAssign)]


def decorators(node: ast.AST) -> set:
    "Names of the decorators of a function or class."
    return {n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}


def not_indexed(root: Path) -> list:
    "Exported functions and classes that nbdev's `_modidx.py` does not know, and modules in it that no notebook exports."
    tree = ast.parse((root/PACKAGE/"_modidx.py").read_text(encoding="utf-8"))
    syms = next(ast.literal_eval(n.value)["syms"] for n in tree.body if isinstance(n, ast.Assign))
    missing = [f"{name}.{n.name} is not in _modidx.py" for name, tree in modules(root).items() for n in public(tree)
        if f"{PACKAGE}.{name}.{n.name}" not in syms.get(f"{PACKAGE}.{name}", {})]
    return missing + [f"{m} is in _modidx.py and has no notebook" for m in syms if m.split(".")[1] not in order(root)]


# Sizes and places

def too_long(root: Path, lines: int = 350, function: int = 45) -> list:
    "Modules with more lines of code, functions with more lines, than the house allows."
    out = []
    for path in sorted((root/PACKAGE).glob("*.py")):
        if path.stem in GENERATED: continue
        text = path.read_text(encoding="utf-8")
        n = sum(bool(s.strip()) and not s.lstrip().startswith("#") for s in text.splitlines())
        if n > lines: out.append(f"{path.name} has {n} lines of code")
        functions = [f for f in ast.walk(ast.parse(text)) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef))]
        out += [f"{path.name}: {f.name} has {f.end_lineno - f.lineno + 1} lines" for f in functions if f.end_lineno - f.lineno >= function]
    return out


def too_heavy(root: Path, notebook: int = 400_000, image: int = 200_000) -> list:
    "Notebooks, and images in their outputs, of more bytes than a repository should carry."
    out = []
    for path in sorted((root/"nbs").rglob("*.ipynb")):
        if path.stat().st_size > notebook: out.append(f"{path.name} has {path.stat().st_size} bytes")
        out += [f"{path.name}: an image of {n} bytes" for n in image_sizes(path) if n > image]
    return out


def image_sizes(path: Path) -> list:
    "Bytes of each image in a notebook's outputs."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    data = [o.get("data", {}) for c in cells for o in c.get("outputs", [])]
    texts = [("".join(v), k) for d in data for k, v in d.items() if k.startswith("image/")]
    return [len(t) if k == "image/svg+xml" else len(t)*3//4 for t, k in texts]


def foreign_paths(root: Path, names: list, allowed: dict) -> list:
    "Files that mention a folder of one machine; `allowed` holds what a file may say."
    forbidden = ("/" + "work/", "/" + "tmp/w/", "/" + "root/", "/" + "opt/venv", ".." + "/shared")
    texts = {n: (root/n).read_bytes().decode("utf-8", "replace") for n in names}
    return [f"{n} mentions {f}" for n, text in texts.items() for f in forbidden if f in text and f not in allowed.get(n, ())]
