"Looks at a built site: every link and anchor inside it, what it would load from elsewhere, and which pages it names outside."
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("audio", "src"), ("video", "src"), ("embed", "src"), ("object", "data")}
POINTERS = {"canonical", "author", "license", "help"}  # `<link>`s that load nothing


class Page(HTMLParser):
    "The ids of a page, the addresses it links and those that it loads."
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if given.get("id"): self.ids.append(given["id"])
        if tag == "a" and given.get("name"): self.ids.append(given["name"])
        for key in ("href", "src", "data"):
            if not given.get(key): continue
            loads = (tag, key) in LOADED and not set((given.get("rel") or "").split()) & POINTERS
            if loads: self.loads.append(given[key])
            elif key == "href": self.links.append(given[key])


def outside(url: str) -> bool: return bool(urlsplit(url).scheme or url.startswith("//"))


def faults(
    site: Path,  # Folder of a built site
) -> list:  # One line each
    "Links to files or anchors that are not there, ids that stand twice, and what would be loaded from elsewhere."
    pages = {p.resolve(): Page(p.read_text(encoding="utf-8")) for p in sorted(site.rglob("*.html"))}
    out = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve()).as_posix()
        out += [f"{name}: id {i} stands twice" for i in sorted({i for i in page.ids if page.ids.count(i) > 1})]
        out += [f"{name}: loads {u}" for u in page.loads if outside(u) and not u.startswith("data:")]
        local = [u for u in page.links + page.loads if not outside(u)]
        out += [f"{name}: {u} {why}" for u in dict.fromkeys(local) if (why := fault(u, path, pages))]
    for path in sorted(site.rglob("*.css")): out += [f"{path.relative_to(site).as_posix()}: loads {u}" for u in re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", path.read_text(encoding="utf-8"))]
    for path in sorted(site.glob("llms*.txt")):
        links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")) if path.name == "llms.txt" else []
        out += [f"{path.name}: {u} {why}" for u in links if not outside(u) and (why := fault(u, path.resolve(), pages))]
    return out


def fault(
    url: str,  # Of a link inside the site
    page: Path,  # The page it stands on
    pages: dict,  # Path -> `Page`
) -> str:  # Empty when it leads somewhere
    "What is wrong with a link."
    where, anchor = urldefrag(url)
    where = urlsplit(where).path
    target = (page.parent/unquote(where)).resolve() if where else page
    if target.is_dir(): target = target/"index.html"
    if not target.is_file(): return "leads nowhere"
    if anchor and target in pages and unquote(anchor) not in pages[target].ids: return "names no place there"
    return ""


def external(
    site: Path,  # Folder of a built site
) -> list:
    "Addresses outside the site that its pages link to."
    return sorted({u for p in site.rglob("*.html") for u in Page(p.read_text(encoding="utf-8")).links if outside(u)})
