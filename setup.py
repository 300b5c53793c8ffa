"Builds the package from the metadata in `settings.ini`."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

cfg = ConfigParser()
cfg.read(Path(__file__).with_name("settings.ini"))
meta = cfg["DEFAULT"]
extras = {k.removeprefix("extras_"): v.split() for k, v in meta.items() if k.startswith("extras_")}

setup(
    name=meta["lib_name"],
    version=meta["version"],
    description=meta["description"],
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords=meta["keywords"].split(),
    author=meta["author"],
    license_expression=meta["license"],
    classifiers=[line for line in meta["classifiers"].splitlines() if line],
    python_requires=f">={meta['min_python']}",
    packages=find_packages(include=[f"{meta['lib_name']}*"]),
    install_requires=meta["requirements"].split(),
    extras_require={**extras, "dev": [*meta["dev_requirements"].split(), *sum(extras.values(), [])]},
    entry_points={
        "console_scripts": meta["console_scripts"].split(),
        "nbdev": [f"{meta['lib_name']}={meta['lib_name']}._modidx:d"],
    },
)
