"""Sets this package beside fastai and torchxrayvision, from what is installed: `python tools/compare.py [--write docs/migration.md]`.

A row is a feature and the words that its code cannot do without; a cell is the module of a package that has them most often, or "not found". A package that is not installed has no column.
Found words are no proof that a feature is good, and missing words none that it cannot be built; what was run by hand stands in the text beside the table.
"""
import argparse
import importlib.util
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("covid_fastai", "fastai", "torchxrayvision")
GENERATED = ("_modidx", "_nbdev", "all")  # Lists of names, not code
BEGIN, END = "<!-- from tools/compare.py -->", "<!-- end -->"
FEATURES = {  # What it is -> a pattern of the code that does it
    "reads DICOM": r"pixel_array",
    "applies the window (VOI LUT) of a DICOM film": r"(?i)voi_?lut|windowed",
    "inverts MONOCHROME1": r"MONOCHROME1",
    "splits by patient": r"GroupKFold|unique_patients|add_groups",
    "finds near-duplicates on the pixels": r"(?i)imagehash|near.?duplicates?",
    "leaves out one source at a time": r"leave_one_out|LeaveOneGroupOut",
    "licence of each film": r"(?i)spdx",
    "intervals of scores": r"(?i)bootstrap\(|clopper.?pearson",
    "paired test of two models": r"(?i)delong|mcnemar",
    "temperature scaling": r"fit_temperature|temperature scaling",
    "conformal sets": r"(?i)conformal",
    "Grad-CAM": r"(?i)grad.?cam",
    "scores of heat maps": r"(?i)insertion.{0,40}deletion|deletion.{0,40}insertion",
    "controls that see no lung": r"permuted_labels|facts_control",
    "lung or organ masks": r"(?i)lung_masks|pspnet",
    "pretrained on chest films": r"densenet121.res224",
    "rate finder": r"lr_find",
    "one cycle": r"(?i)fit_one_cycle|one.cycle",
    "weights without pickle": r"safetensors",
    "ONNX export": r"onnx\.export\(",
    "command line": r"console_scripts|add_parser\(|ArgumentParser\(",
    "web page": r"gradio|streamlit",
}


def sources(
    package: str,  # Name of an installed package
) -> dict:  # Module -> its text; empty where it is not installed
    "The Python files of a package, read and not imported."
    spec = importlib.util.find_spec(package)
    folder = Path(spec.origin).parent if spec else None
    return {".".join(p.relative_to(folder).with_suffix("").parts): p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*.py")) if p.stem not in GENERATED} if folder else {}


def home(
    modules: dict,  # From `sources`
    pattern: str,  # Of `FEATURES`
) -> str:
    "The module whose code has the pattern most often."
    hits = {name: len(re.findall(pattern, text)) for name, text in modules.items()}
    best = max(hits, key=hits.get, default="")
    return f"`{best.removesuffix('.__init__')}`" if hits.get(best) else "not found"


def table(
    packages=PACKAGES,  # Names
) -> str:  # Markdown
    "Every feature beside every package that is installed."
    found = {p: s for p in packages if (s := sources(p))}
    head = ["", *(f"{p} {_version(p)}" for p in found)]
    rows = [[feature, *(home(s, pattern) for s in found.values())] for feature, pattern in FEATURES.items()]
    return "\n".join("| " + " | ".join(r) + " |" for r in (head, ["---"] * len(head), *rows))


def _version(package):
    try: return version(package)
    except PackageNotFoundError: return ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="put the table into this file, between its marks")
    args, text = parser.parse_args(), table()
    if not args.write: print(text)
    else:
        before, _, rest = args.write.read_text(encoding="utf-8").partition(BEGIN)
        args.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
