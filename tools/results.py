"Write docs/RESULTS.md: the ledger of the studies, the scores of explanations, the ablation and the benches, each from the files that its command left."
import argparse
import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
TEXT = "Numbers and intervals only; each part names the command that made it. Research use only, not a medical device."


def deeper(text, by=1): return re.sub(r"(?m)^(#+ )", "#" * by + r"\1", text)


def ledger(folder):
    "The ledger as `covid_fastai reproduce` left it."
    return "## The five studies\n\n```sh\ncovid_fastai reproduce all --manifest path/to/manifest.csv --weights-dir path/to/weights --budget 120 --workers 2 --out runs/studies\n```\n\n" + deeper((folder/"ledger.md").read_text())


def explanations(runs):
    "The scores of heat maps of each run, as `covid_fastai explain RUN --score` left them."
    tables = [f"### {run.name}\n\n" + table(pd.read_csv(run/"explanation_scores.csv")) for run in runs]
    return "\n\n".join(["## Explanations", "```sh\ncovid_fastai explain RUN --score --lungs path/to/lungs\n```", *tables]) if runs else ""


def table(df):
    rows = [[r.text, r.mask if pd.notna(r.mask) else "", f"{r.value:.3f} ({r.low:.3f} to {r.high:.3f})", f"{r.chance:g}" if pd.notna(r.chance) else "", r.better, f"{r.n:g}"] for r in df.itertuples()]
    return "\n".join("| " + " | ".join(map(str, r)) + " |" for r in [["score", "masks", "value", "chance", "better", "films"], ["---"] * 6, *rows])


def bench(path):
    "What a bench printed; the first line of the file is its command."
    command, *rows = path.read_text().splitlines()
    return "\n".join(["```sh", command.removeprefix("$ "), "```", "", "```", *(r.rstrip() for r in rows), "```"])


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--studies", type=Path, required=True, help="folder of `covid_fastai reproduce`")
    p.add_argument("--runs", type=Path, nargs="*", default=[], help="runs whose heat maps were scored")
    p.add_argument("--ablation", type=Path, default=ROOT/"docs"/"ablation.md")
    p.add_argument("--benches", type=Path, nargs="*", default=[], help="text files: `$ command`, and what it printed")
    p.add_argument("--out", type=Path, default=ROOT/"docs"/"RESULTS.md")
    args = p.parse_args(argv)
    ablation = deeper(args.ablation.read_text()).strip() if args.ablation.is_file() else ""
    parts = ["# Results", TEXT, ledger(args.studies), explanations(args.runs), ablation, "\n\n".join(["## Benchmarks", *map(bench, args.benches)]) if args.benches else ""]
    args.out.write_text("\n\n".join(part.strip() for part in parts if part) + "\n")


if __name__ == "__main__": main()
