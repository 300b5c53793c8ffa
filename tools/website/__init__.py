"The pieces of the documentation site: `tools/docs.py` puts them together."
