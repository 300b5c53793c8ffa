"Write docs/RESULTS.md: the ledger of the studies, the scores of explanations, the ablation, cross-validated studies and the benches, each from the files that its command left. A part whose files are not given stays as it is."
import argparse
import json
import re
from itertools import groupby
from pathlib import Path

import pandas as pd

from covid_fastai.core import read_table
from covid_fastai.paired import compare, headline
from covid_fastai.subgroups import subgroups
from covid_fastai.tables import get_task, markdown_table

ROOT = Path(__file__).resolve().parents[1]
TEXT = "Numbers and intervals only; each part names the command that made it. Research use only, not a medical device."


def deeper(text, by=1): return re.sub(r"(?m)^(#+ )", "#" * by + r"\1", text)


def kept(path, title):
    "The part of this title as it stands in the file; \"\" where there is none."
    found = re.search(rf"(?ms)^## {title}\n.*?(?=^## |\Z)", path.read_text()) if path.is_file() else None
    return found[0] if found else ""


def ledger(folder):
    "The ledger as `covid_fastai reproduce` left it."
    return "## The five studies\n\n```sh\ncovid_fastai reproduce all --manifest path/to/manifest.csv --weights-dir path/to/weights --budget 120 --workers 2 --out runs/studies\n```\n\n" + deeper((folder/"ledger.md").read_text())


def explanations(runs):
    "The scores of heat maps of each run, as `covid_fastai explain RUN --score` left them."
    tables = [f"### {run.name}\n\n" + table(pd.read_csv(run/"explanation_scores.csv")) for run in runs]
    return "\n\n".join(["## Explanations", "```sh\ncovid_fastai explain RUN --score --lungs path/to/lungs\n```", *tables])


def table(df):
    rows = [[r.text, r.mask if pd.notna(r.mask) else "", f"{r.value:.3f} ({r.low:.3f} to {r.high:.3f})", f"{r.chance:g}" if pd.notna(r.chance) else "", r.better, f"{r.n:g}"] for r in df.itertuples()]
    return "\n".join("| " + " | ".join(map(str, r)) + " |" for r in [["score", "masks", "value", "chance", "better", "films"], ["---"] * 6, *rows])


def folds(studies):
    "Studies as `covid_fastai crossval` left them, those of one task and the same films below each other; the first of them is what the others are compared with."
    found = [Study(path) for path in studies]
    tables = ["\n".join(["```sh", *(s.command for s in same), "```", "", study_table(same)]) for same in (list(g) for _, g in groupby(found, key=lambda s: s.films))]
    return "\n\n".join(["## Cross-validation by patient", "Each film is judged by the training that did not see its patient. AUC: of both classes, or the mean of each class against the rest.", *tables])


class Study:
    "A folder of `covid_fastai crossval`."

    def __init__(self, path):
        config, self.name = json.loads((path/"config.json").read_text()), path.name
        self.task, self.result, self.preds = get_task(config["task"]), json.loads((path/"metrics.json").read_text()), read_table(path/"predictions.csv", "predictions")
        self.films = config["task"], config["only"]
        flags = {"task": config["task"], "only": config["only"], "arch": config["arch"], "size": config["size"], "schedule": config["schedule"], "freeze-epochs": config["freeze_epochs"], "epochs": config["epochs"], "draws": config["draws"] or "", "folds": config["study"]["folds"], "recipe": config["recipe"]}
        self.command = " ".join(["covid_fastai crossval --manifest path/to/manifest.csv --weights-dir path/to/weights", *(f"--{k} {v}" for k, v in flags.items() if v != ""), f"--out runs/{self.name}"])

    def score(self, name): return interval(self.result["metrics"][name])

    def by_source(self):
        rows = subgroups(self.preds, self.task, by=("source",), metrics=("accuracy",)).set_index("group")
        return {**{source: interval(r) for source, r in rows.iterrows()}, **({"mean of sources": f"{rows['value'].mean():.3f}"} if len(rows) > 1 else {})}

    def less(self, other):
        found = compare(self.preds, other.preds, self.task)["metrics"]
        return {name: interval(found[name]) for name in ("accuracy", headline(self.task), "brier")}


def interval(score): return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def study_table(studies):
    "Scores of studies of the same films, and what each has more than the first."
    scores = [{"study": s.name, "films": f"{s.result['n']}", "accuracy": s.score("accuracy"), "AUC": s.score(headline(s.task)), "Brier": s.score("brier"), **{f"accuracy, {k}": v for k, v in s.by_source().items()}} for s in studies]
    more = [{"study": f"{s.name} less {studies[0].name}", **dict(zip(("accuracy", "AUC", "Brier"), s.less(studies[0]).values()))} for s in studies[1:]]
    return markdown_table(pd.DataFrame(scores + more).fillna(""))


def benches(paths): return "\n\n".join(["## Benchmarks", *map(bench, paths)])


def bench(path):
    "What a bench printed; the first line of the file is its command."
    command, *rows = path.read_text().splitlines()
    return "\n".join(["```sh", command.removeprefix("$ "), "```", "", "```", *(r.rstrip() for r in rows), "```"])


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--studies", type=Path, help="folder of `covid_fastai reproduce`")
    p.add_argument("--runs", type=Path, nargs="*", default=[], help="runs whose heat maps were scored")
    p.add_argument("--ablation", type=Path, default=ROOT/"docs"/"ablation.md")
    p.add_argument("--folds", type=Path, nargs="*", default=[], help="folders of `covid_fastai crossval`")
    p.add_argument("--benches", type=Path, nargs="*", default=[], help="text files: `$ command`, and what it printed")
    p.add_argument("--out", type=Path, default=ROOT/"docs"/"RESULTS.md")
    args = p.parse_args(argv)
    ablation = deeper(args.ablation.read_text()).strip() if args.ablation.is_file() else ""
    def part(make, given, title): return make(given) if given else kept(args.out, title)
    parts = ["# Results", TEXT, part(ledger, args.studies, "The five studies"), part(explanations, args.runs, "Explanations"), ablation, part(folds, args.folds, "Cross-validation by patient"), part(benches, args.benches, "Benchmarks")]
    args.out.write_text("\n\n".join(text.strip() for text in parts if text) + "\n")


if __name__ == "__main__": main()
