"""Builds the documentation site: `make docs`.

`python tools/docs.py [--out _docs]` writes the pages, has Sphinx make HTML of them and looks at the result; it ends with 1 and a line for each
dead link, missing anchor or disagreement with `help`. `--check FOLDER` only looks, `--house` draws docs/house.svg, `--external` lists the addresses outside, which are not fetched.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from website.agree import disagreements  # noqa: E402
from website.house import house  # noqa: E402
from website.links import external, faults  # noqa: E402
from website.pages import llms, llms_full, write_pages  # noqa: E402


def build(
    out: Path,  # Folder of the site; what is in it is replaced when the build ends well
    only: tuple = (),  # Modules to show; all when empty
    root: Path = ROOT,  # The repository
) -> list:  # Modules that are shown
    "Make the whole site."
    missing = [m for m in ("sphinx", "furo", "myst_parser") if find_spec(m) is None]
    if missing: raise SystemExit(f"docs: {', '.join(missing)} not installed; pip install -e '.[docs]'")
    with tempfile.TemporaryDirectory() as tmp:
        pages, site = Path(tmp)/"pages", Path(tmp)/"site"
        pages.mkdir()
        about = write_pages(root, pages, only)
        names = [n for n in about if (root/"covid_fastai"/f"{n}.py").is_file()]
        sphinx = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "-n", "-c", str(ROOT/"tools"/"website"), "-d", str(Path(tmp)/"trees"), str(pages), str(site)]
        env = os.environ | dict(PYTHONPATH=os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
        if subprocess.run(sphinx, env=env).returncode: raise SystemExit("docs: Sphinx names what is wrong above; the site stays as it was")
        (site/"llms.txt").write_text(llms(about, names), encoding="utf-8")
        (site/"llms-full.txt").write_text(llms_full(root, names), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(site, out, ignore=shutil.ignore_patterns(".buildinfo"))
    return names


def main():
    "Build and look, or only look."
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--out", type=Path, default=ROOT/"_docs", help="folder of the site")
    p.add_argument("--check", type=Path, metavar="FOLDER", help="look at a built site, and build none")
    p.add_argument("--external", action="store_true", help="list the addresses outside that are linked to")
    p.add_argument("--house", action="store_true", help="draw docs/house.svg, and build nothing")
    args, begin = p.parse_args(), time.perf_counter()
    if args.house: return (ROOT/"docs"/"house.svg").write_text(house(), encoding="utf-8") and 0
    site = args.check or args.out
    if not args.check: build(site)
    found = faults(site) + disagreements(site)
    if args.external: print(*external(site), sep="\n")
    print(*found, f"{site}: {len(list(site.rglob('*.html')))} pages, {len(external(site))} addresses outside (not fetched), {len(found)} faults, {time.perf_counter() - begin:.0f} s", sep="\n")
    return bool(found)


if __name__ == "__main__": sys.exit(main())
