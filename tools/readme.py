"Writes README.md from nbs/index.ipynb: `make readme`."
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def readme(
    notebook: Path,  # nbs/index.ipynb
) -> str:  # Markdown; cells that begin with `#| hide` and other directives are left out
    "The README as its notebook has it."
    import nbformat
    from nbconvert import MarkdownExporter
    from traitlets.config import Config

    config = Config()
    config.MarkdownExporter.preprocessors = ["nbconvert.preprocessors.RegexRemovePreprocessor"]
    config.RegexRemovePreprocessor.patterns = [r"#\|\s*hide\b"]
    config.NbConvertBase.display_data_priority = ["text/markdown", "text/plain"]
    nb = nbformat.read(notebook, as_version=4)
    nb.metadata["language_info"] = {"name": "python"}  # clean notebooks do not carry it; code blocks get their colours by it
    text, _ = MarkdownExporter(config=config).from_notebook_node(nb)
    text = re.sub(r"^#\|.*\n", "", text, flags=re.M).replace("](../", "](")
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    text = readme(ROOT/"nbs"/"index.ipynb")
    (ROOT/"README.md").write_text(text, encoding="utf-8")
    print(f"README.md: {len(text.splitlines())} lines from nbs/index.ipynb")
