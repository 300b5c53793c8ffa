"What the site says of a public name, read from the object itself: signature, docstring and the table of its parameters."
import ast
import inspect
import json
import re
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import FunctionType, UnionType
from typing import Union, get_args, get_origin

from fastcore.docments import docments

PACKAGE = "covid_fastai"


class Raw:
    "A text that stands in a signature as it is."
    def __init__(self, text): self.text = text
    def __repr__(self): return self.text


def public(
    module: str,  # Name of a module of the package
) -> dict:  # Name -> object
    "What a module exports, in the order of its notebook."
    m = import_module(f"{PACKAGE}.{module}")
    return {n: getattr(m, n) for n in m.__all__}


def kind_of(obj) -> str:
    "How Sphinx calls an object of this sort."
    if inspect.isclass(obj): return "exception" if issubclass(obj, BaseException) else "class"
    return "function" if inspect.isroutine(obj) or hasattr(obj, "__wrapped__") else "data"


def type_text(
    annotation,  # As `inspect` has it
) -> str:
    "A type as one writes it: without the modules that its names come from."
    if annotation is inspect.Parameter.empty: return ""
    if isinstance(annotation, str): return annotation
    if get_origin(annotation) in (Union, UnionType): return " | ".join("None" if a is type(None) else type_text(a) for a in get_args(annotation))
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", inspect.formatannotation(annotation))


def default_text(
    value,  # A parameter's default
    module: dict,  # Names of the module that may stand for it
) -> str:
    "A default as one writes it: its name where it has one, `...` where no short text says it."
    if inspect.isroutine(value) or inspect.isclass(value): return "..." if value.__name__ == "<lambda>" else value.__name__
    text = repr(value)
    if len(text) <= 40 and "<" not in text: return text
    named = next((n for n, v in module.items() if v is value and not n.startswith("_")), "")
    if named: return named
    return f"{type(value).__name__}()" if is_dataclass(value) and _as_made(value) else "..."


def _as_made(value):
    try: return value == type(value)()
    except TypeError: return False


def signature(
    obj,  # A function or class
) -> inspect.Signature | None:  # As `help` has it, with short types and defaults; None where Python knows none
    "What is called, in words that fit on a page."
    try: sig = inspect.signature(obj)
    except (ValueError, TypeError): return None
    names = vars(inspect.getmodule(inspect.unwrap(obj)) or inspect)

    def short(p):
        default = p.default if p.default is p.empty else Raw(default_text(p.default, names))
        return p.replace(annotation=_raw(p.annotation), default=default)

    return sig.replace(parameters=[short(p) for p in sig.parameters.values()], return_annotation=_raw(sig.return_annotation))


def _raw(annotation): return annotation if annotation is inspect.Signature.empty else Raw(type_text(annotation))


def members(
    cls: type,  # A public class
) -> dict:  # Name -> function, property, class method or static method
    "What a class itself defines and shows."
    kinds = (property, classmethod, staticmethod)
    return {n: o for n, o in vars(cls).items() if not n.startswith("_") and (inspect.isfunction(o) or isinstance(o, kinds))
        and getattr(inspect.unwrap(getattr(o, "fget", None) or getattr(o, "__func__", o)), "__module__", "").startswith(PACKAGE)}


def doc_of(
    obj,  # A function, class or constant
    cls: type | None = None,  # The class, where it is a member of one
) -> str:
    "The docstring; of a member also that of the package's class from which it inherits, of a class only its own."
    if cls is not None:
        owners = [c for c in cls.__mro__ if getattr(obj, "__name__", "") in vars(c)] if not isinstance(obj, property) else []
        docs = [vars(c)[obj.__name__].__doc__ for c in owners if c.__module__.startswith(PACKAGE)] or [obj.__doc__]
        return inspect.cleandoc(next((d for d in docs if d), ""))
    if inspect.isclass(obj) and "__doc__" not in vars(obj) or kind_of(obj) == "data": return ""
    return inspect.getdoc(obj) or ""


def comments(
    module: str,  # Name of a module of the package
) -> dict:  # Name -> comment
    "The comment behind, or right above, each constant of a module."
    lines = Path(import_module(f"{PACKAGE}.{module}").__file__).read_text(encoding="utf-8").splitlines()
    out = {}
    for node in ast.parse("\n".join(lines)).body:
        for name in assigned(node):
            behind = re.search(r"\s#\s+([^'\"]+)$", lines[node.lineno - 1])
            above = re.match(r"#\s+(?!%%)(.+)", lines[node.lineno - 2]) if node.lineno > 1 else None
            found = behind or above
            if found: out[name] = found[1].strip()
    return out


def assigned(
    node: ast.AST,  # A statement
) -> list:
    "Names that a statement of a module defines, or exports with nbdev's `_all_`."
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)): return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    return ast.literal_eval(node.value) if names == ["_all_"] else names


# Markdown

def plain(
    text: str,  # A docstring or comment
) -> str:
    "Text in which only code between backticks is markup."
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if i % 2 else re.sub(r"([\\<>*\[\]{}$|])", r"\\\1", p) for i, p in enumerate(parts))


def code(
    text: str,  # For a cell of a table
) -> str:
    "Code in a table; nothing where there is none."
    return f"`{text}`".replace("|", r"\|") if text else ""


def said(
    obj,  # A function or class
) -> dict:  # Parameter -> comment
    "The comments beside parameters, also those of a dataclass to which `@delegates` leads: fastcore finds no source for its `__init__`."
    try: return docments(obj)
    except OSError:
        plain_copy = FunctionType(obj.__code__, obj.__globals__, obj.__name__, obj.__defaults__)
        plain_copy.__qualname__, plain_copy.__module__, plain_copy.__signature__ = obj.__qualname__, obj.__module__, inspect.signature(obj)
        own = docments(plain_copy)
        return docments(obj.__globals__[obj.__delwrap__.__qualname__.split(".")[0]]) | {n: d for n, d in own.items() if d}


def rows(
    obj,  # A function or class
) -> list:  # (name, type, default, what) of each parameter, and of what is returned
    "The table of the parameters, from the comments beside them."
    sig = signature(obj)
    if sig is None: return []
    docs, made = said(obj), {f.name for f in fields(obj) if f.default_factory is not MISSING} if is_dataclass(obj) else ()
    params = [p for n, p in sig.parameters.items() if n not in ("self", "cls")]
    out = [(_stars(p), type_text(p.annotation) if isinstance(p.annotation, str) else _text(p.annotation), "..." if p.name in made else _text(p.default), docs.get(p.name) or "") for p in params]
    back = ("returns", _text(sig.return_annotation), "", docs.get("return") or "")
    return out + [back]*(not inspect.isclass(obj) and back[1] not in ("", "None"))


def _text(value): return "" if value is inspect.Parameter.empty else repr(value)


def _stars(p): return {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name


def table(
    obj,  # A function or class
) -> str:  # Markdown; columns that are empty everywhere are left out
    "The parameters of a function or class as a table."
    all_rows = rows(obj)
    heads = ("Parameter", "Type", "Default", "What")
    keep = [i for i in range(4) if i == 0 or any(r[i] for r in all_rows)]
    if len(keep) == 1: return ""
    cells = [[code(c) if i < 3 and c != "returns" else plain(" ".join(c.split())) for i, c in enumerate(r)] for r in all_rows]
    lines = [[heads[i] for i in keep], ["---"]*len(keep), *([c[i] for i in keep] for c in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def entry(
    name: str,  # As exported
    obj,  # What it names
    comment: str = "",  # Of a constant
) -> str:  # MyST: a directive of Sphinx's Python domain, which makes the anchor
    "What the site says of a public name."
    kind = kind_of(obj)
    if kind == "data":
        text = f"{{{', '.join(sorted(map(repr, obj)))}}}" if isinstance(obj, (set, frozenset)) else repr(obj)  # the same at each build
        return _directive("data", name, plain(comment), options=f":value: {json.dumps(text)}\n" if len(text) <= 100 and "<" not in text and "\n" not in text else "")
    body = [plain(doc_of(obj)), table(obj)]
    if inspect.isclass(obj): body += [_member(n, obj) for n in members(obj)]
    return _directive(kind, name + _call(obj), "\n\n".join(b for b in body if b), ":::::" if inspect.isclass(obj) else ":::")


def _call(obj, drop_self=False):
    sig = signature(obj)
    if sig is None: return ""
    if inspect.isclass(obj): sig = sig.replace(return_annotation=sig.empty)
    if drop_self: sig = sig.replace(parameters=list(sig.parameters.values())[1:])
    return str(sig)


def _member(name, cls):
    raw, bound = vars(cls)[name], getattr(cls, name)
    if isinstance(raw, property):
        back = _text(signature(raw.fget).return_annotation)
        return _directive("property", name, plain(doc_of(raw, cls)), options=f":type: {json.dumps(back)}\n" if back else "")
    kind = {classmethod: ":classmethod:\n", staticmethod: ":staticmethod:\n"}.get(type(raw), "")
    body = [plain(doc_of(bound, cls)), table(bound)]
    return _directive("method", name + _call(bound, inspect.isfunction(raw)), "\n\n".join(b for b in body if b), options=kind)


def _directive(kind, argument, body, fence=":::", options=""): return f"{fence}{{py:{kind}}} {argument}\n{options}\n{body}\n{fence}"
