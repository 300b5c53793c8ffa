"How Sphinx makes the site of the pages that `tools/docs.py` writes."
from covid_fastai import __version__
from covid_fastai.core import DISCLAIMER

project, release, author = "covid_fastai", __version__, "covid_fastai contributors"
copyright = f"{author}, Apache-2.0. {DISCLAIMER}"
extensions = ["myst_parser"]
myst_enable_extensions, myst_heading_anchors = ["colon_fence"], 3
add_module_names, python_maximum_signature_line_length = False, 88
toc_object_entries_show_parents = "hide"
smartquotes = False  # `--flag` stays as it is typed
nitpick_ignore_regex = [("py:.*", r"(?!covid_fastai\.).*")]  # types of other packages have no page here
suppress_warnings = ["misc.highlighting_failure", "myst.header"]

html_theme, html_title = "furo", f"covid_fastai {release}"
html_favicon = "static/icon.svg"
html_static_path, html_css_files, html_js_files = ["static"], ["site.css"], ["site.js"]
html_theme_options = dict(announcement=DISCLAIMER, top_of_page_buttons=[])
html_use_index = html_domain_indices = html_copy_source = False  # symbols.html is the index
pygments_style, pygments_dark_style = "default", "github-dark"


def name_places(app, doctree):
    "Each name also at the place where nbdev's `_modidx.py` has it: `core.html#get_task`."
    from sphinx.addnodes import desc_signature

    taken = set(doctree.ids)
    for node in doctree.findall(desc_signature):
        module = node.get("module") or ""
        for place in [i.removeprefix(f"{module}.").lower() for i in node["ids"] if module]:
            if place not in taken: node["ids"].append(place), taken.add(place)


def own_type(app, env, node, content):
    "A type of the package in a signature of another module leads to its page."
    found = [o for o in env.domains["py"].get_objects() if node.get("reftype") == "class" and o[0].startswith("covid_fastai.") and o[0].rpartition(".")[2] == node["reftarget"]]
    if len(found) != 1: return None
    from sphinx.util.nodes import make_refnode

    return make_refnode(app.builder, node["refdoc"], found[0][3], found[0][4], content, found[0][0])


def setup(app):
    app.connect("doctree-read", name_places)
    app.connect("missing-reference", own_type)
