"Whether the built pages and Python's own `help` say the same of every public name."
import inspect
import pydoc
import re
from html import unescape
from pathlib import Path

from .notebooks import module_of
from .reference import PACKAGE, doc_of, kind_of, members, public, rows


def disagreements(
    site: Path,  # Folder of a built site
    modules: tuple = (),  # Modules to look at; those of all notebooks when empty
) -> list:  # One line each
    "Public names without a place on their module's page, and those of which it says something else than `help`."
    root = Path(__file__).resolve().parents[2]
    modules = modules or [module_of(p) for p in sorted((root/"nbs").glob("*.ipynb")) if module_of(p)]
    out = []
    for m in modules:
        path = site/f"{m}.html"
        html = path.read_text(encoding="utf-8") if path.is_file() else ""
        out += [f"{m}.html: {n}: {why}" for n, o, cls in with_members(public(m)) if (why := disagreement(html, m, n, o, cls))]
    return out


def with_members(
    names: dict,  # Public names -> objects
):
    "Each name with its object and no class, and each member of a class with that class."
    for n, o in names.items():
        yield n, o, None
        if inspect.isclass(o): yield from ((f"{n}.{k}", getattr(o, k), o) for k in members(o))


def disagreement(
    html: str,  # A module's page
    module: str,  # Its module
    name: str,  # A public name, or `Class.method`
    obj,  # What it names
    cls: type | None = None,  # The class of a member
) -> str:  # Empty where they agree
    "What the page does not say as `help` does: the call, the docstring, a parameter's comment."
    block = of_name(html, f"{PACKAGE}.{module}.{name}")
    if not block: return "has no place on the page"
    head, body = block
    last = name.rpartition(".")[2]
    call = helped(obj, last) if kind_of(obj) != "data" else None
    if call and cls: call = tuple(p for p in call if p != ("self", "", ""))
    if call and not same(split(head.partition(f"{last}(")[2]), call, vars(inspect.getmodule(inspect.unwrap(obj)))): return f"the page calls it as {head}, help as {call}"
    doc = doc_of(obj, cls)
    if said(doc) not in bare(body): return f"help says {doc!r}"
    comments = [] if kind_of(obj) == "data" else rows(obj)
    return next((f"the comment of {n} is missing" for n, _, _, what in comments if said(what) not in bare(body)), "")


def of_name(
    html: str,  # A page
    target: str,  # Full name
) -> tuple:  # Its heading and the rest, as text; empty where it is not there
    "The part of a page that explains a name."
    start = html.find(f'id="{target}"')
    if start < 0: return ()
    end = html.find('<dt class="sig sig-object py" id="covid_fastai.', start + 1)
    head, _, rest = html[start:end if end > 0 else None].partition("</dt>")
    return text(head.partition(">")[2]), text(rest)


def text(html: str) -> str: return unescape(re.sub(r'<a class="headerlink".*?</a>|<[^>]+>', "", html))


def bare(words: str) -> str: return re.sub(r"\s", "", words)


def said(words: str) -> str: return bare(words.replace("`", ""))


def helped(
    obj,  # A function or class
    name: str,  # As exported
) -> tuple:  # Parameters, as text; None where `help` shows no call
    "The parameters of the call that Python's `help` prints."
    lines = pydoc.plain(pydoc.render_doc(obj)).split("\n")
    call = next((m[1] for line in lines[:8] if (m := re.match(rf"\W*{name}(?: = \w+)?\((.*?)(?: (?:class )?method of .*)?$", line))), None)
    if call is None: return None
    return (*split(call)[:-1], ("->", "", "")) if inspect.isclass(obj) else split(call)  # a class gives itself; `help` says None


def split(
    call: str,  # From the first parameter on, such as `a: int = 3, *, b) -> str`
) -> tuple:  # (name, type, default) each; the last is ("->", what is returned, "")
    "The parts of a call."
    params, rest = commas(call)
    return tuple(_parameter(p) for p in params if p.strip()) + (("->", _short(re.sub("->|→", "", rest)), ""),)


def commas(
    text: str,  # Ends with a bracket that it does not open, and anything behind
) -> tuple:  # What stands between commas before that bracket, and what stands behind it
    "A text at its commas, where no bracket or quote is open."
    parts, depth, quote = [""], 0, ""
    for i, c in enumerate(text):
        if quote: quote = "" if c == quote and text[i - 1] != "\\" else quote
        elif c in "'\"": quote = c
        elif c in "([{": depth += 1
        elif c in ")]}": depth -= 1
        if depth < 0: return parts, text[i + 1:]
        if c == "," and not depth and not quote: parts.append("")
        else: parts[-1] += c
    raise ValueError(f"no end of {text}")


def _parameter(part):
    name, typed, default = re.match(r"\s*([*/\w]+)(?:\s*:\s*(.+?))?(?:\s*=\s*(.+))?\s*$", part, re.S).groups("")
    return name, _short(typed), bare(default)


def _short(annotation):
    text = re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", re.sub(r"<class '([^']+)'>", r"\1", annotation))
    while "Union[" in text:
        before, _, behind = text.partition("Union[")
        parts, behind = commas(behind)
        text = before + "|".join(parts) + behind
    return bare(re.sub(r"^\s*(['\"])(.*)\1\s*$", r"\2", text).replace("NoneType", "None"))


def same(
    site: tuple,  # Of `split`, from the page
    python: tuple,  # The same from `help`
    names: dict,  # Of the module, which may stand for a default
) -> bool:
    "Equal, where a default that is long or has no text may be a name or `...`."
    return [p[:2] for p in site] == [p[:2] for p in python] and all(_means(a[2], b[2], names) for a, b in zip(site, python))


def _means(short, full, names):
    if short == full: return True
    if short == "...": return full.startswith("<") or len(full) > 40
    if short.endswith("()"): return full.startswith(short[:-1])
    return bare(repr(names.get(short))) == full or bool(re.match(rf"<(function|class)'?.*\b{re.escape(short)}\b", full))
