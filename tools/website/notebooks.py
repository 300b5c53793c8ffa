"A notebook as a page: its prose, code and outputs, and in place of each exported cell what the site says of its names."
import ast
import base64
import json
import re
from pathlib import Path

from .reference import assigned, comments, entry, public

FLAG = re.compile(r"^#\|\s*(\S+).*\n?", re.M)
HIDDEN = {"hide", "default_exp"}


def module_of(
    path: Path,  # nbs/NN_name.ipynb
) -> str:
    "Name of the module that a notebook exports; empty where it exports none."
    m = re.fullmatch(r"\d+_(\w+)", path.stem)
    return m[1] if m and path.parent.name != "walkthroughs" else ""


def summary(
    path: Path,  # A notebook
) -> str:
    "The one sentence below a notebook's title."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    quote = next((m[1] for c in cells if (m := re.search(r"^>\s*(.+(?:\n>.*)*)", "".join(c["source"]), re.M))), "")
    return re.sub(r"\n>\s*", " ", quote)


def page(
    path: Path,  # A notebook
    images: Path,  # Folder for the pictures of its outputs, below the page's own
) -> str:  # MyST
    "A notebook as Markdown."
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    module = module_of(path)
    names = public(module) if module else {}
    notes = comments(module) if module else {}
    parts, heading = [f"```{{py:module}} covid_fastai.{module}\n```"]*bool(module), path.stem
    for i, cell in enumerate(cells):
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            heading = (re.findall(r"^#+ (.+)", source, re.M) or [heading])[-1]
            parts.append(source)
        elif cell["cell_type"] == "code" and source:
            flags = set(FLAG.findall(source))
            if flags & HIDDEN: continue
            body = FLAG.sub("", source).strip()
            if "export" in flags: parts += exported(body, names, notes)
            else: parts += [fenced(body, "python"), *(shown(o, images/f"{path.stem}-{i}-{j}", heading) for j, o in enumerate(cell["outputs"]))]
    if module: parts.insert(1, parts.pop(0))  # below the title
    return "\n\n".join(p for p in parts if p) + "\n"


def exported(
    source: str,  # Of an exported cell
    names: dict,  # Public names of the module
    notes: dict,  # Comments of its constants
) -> list:  # MyST
    "The entries of a cell's public names, and its source, folded."
    tree = ast.parse(source).body
    if all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in tree): return []
    own = [n for node in tree for n in assigned(node) if n in names]
    return [*(entry(n, names[n], notes.get(n, "")) for n in own), "```{raw} html\n<details class=\"source\"><summary>Source</summary>\n```", fenced(source, "python", ":class: no-search\n"), "```{raw} html\n</details>\n```"]


def fenced(
    text: str,  # Code or printed text
    language: str,  # `python` or `text`
    marks: str = "",  # Options of the directive
) -> str:
    "A block of code, whatever backticks are in it."
    fence = "`"*max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{{code-block}} {language}\n{marks}\n{text}\n{fence}"


def shown(
    output: dict,  # Of a code cell
    image: Path,  # File for a picture, without its ending
    heading: str,  # What the part of the notebook is about
) -> str:  # MyST; empty for what a reader does not miss
    "An output of a cell; what would load or run something is left out."
    if output["output_type"] == "stream": return printed("".join(output["text"])) if output["name"] == "stdout" else ""
    data = {k: "".join(v) for k, v in output.get("data", {}).items() if isinstance(v, (str, list))}
    for kind, ending in (("image/png", "png"), ("image/jpeg", "jpg"), ("image/svg+xml", "svg")):
        if kind in data: return picture(data[kind], image.with_suffix(f".{ending}"), heading)
    if "text/html" in data and not re.search("<iframe|<script", data["text/html"]): return "```{raw} html\n<div class=\"output\">" + re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.S).replace("```", "") + "</div>\n```"
    if "text/markdown" in data: return data["text/markdown"]
    return printed(data["text/plain"]) if "text/plain" in data else ""


def picture(
    data: str,  # Base64, or the text of an SVG
    path: Path,  # Where it is written
    heading: str,  # What it is about
) -> str:
    "A picture as a file, and the Markdown that shows it."
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if path.suffix == ".svg" else base64.b64decode(data))
    return f"![Figure of “{re.sub(r'[`*]', '', heading)}”, drawn by the code above]({path.parent.name}/{path.name})"


def printed(
    text: str,  # What a cell printed or evaluated to
) -> str:
    "Text output."
    return fenced(re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip(), "text", ":class: output\n") if text.strip() else ""
