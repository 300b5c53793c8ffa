"Draws docs/house.svg, the picture of the design: `python tools/docs.py --house`."

STYLE = """
svg.house { --ink: #1b1f24; --soft: #57606a; --wall: #57606a; --room: #f3f4f6; --joint: #dceefb; --edge: #0072b2; --page: #ffffff }
@media (prefers-color-scheme: dark) { svg.house { --ink: #e6e8eb; --soft: #a9b1ba; --wall: #8b949e; --room: #22272e; --joint: #12344d; --edge: #56b4e9; --page: #14181c } }
body[data-theme="light"] svg.house { --ink: #1b1f24; --soft: #57606a; --wall: #57606a; --room: #f3f4f6; --joint: #dceefb; --edge: #0072b2; --page: #ffffff }
body[data-theme="dark"] svg.house { --ink: #e6e8eb; --soft: #a9b1ba; --wall: #8b949e; --room: #22272e; --joint: #12344d; --edge: #56b4e9; --page: #14181c }
svg.house text { font: 14px system-ui, sans-serif; fill: var(--ink); text-anchor: middle }
svg.house .head { font-weight: 700; font-size: 16px }
svg.house .small { font-size: 12.5px; fill: var(--soft) }
svg.house .wall { fill: var(--page); stroke: var(--wall); stroke-width: 3; stroke-linejoin: round }
svg.house .room { fill: var(--room); stroke: var(--wall); stroke-width: 1 }
svg.house .joint { fill: var(--joint); stroke: var(--edge); stroke-width: 3 }
svg.house .arrow { stroke: var(--ink); stroke-width: 2; fill: none; marker-end: url(#tip) }
svg.house .tip { fill: var(--ink) }
"""

LEFT, WIDTH, TOP, STEP, TALL = 200, 400, 128, 92, 66  # Of the rooms, in pixels
FLOORS = (  # Kind, name and two lines
    ("joint", "1  manifest", "one row a film: filename, label,", "patient_id, source, group, split, fold"),
    ("room", "splits · cache · blocks", "patients and copies stay on one side,", "each film is decoded once"),
    ("room", "network · schedule · recipe", "a pretrained body, a head,", "and what is done against shortcuts"),
    ("joint", "2  predictions table", "one row a film and model: target, pred,", "p_<class>, split, seed, fold"),
    ("room", "judgement", "scores with intervals, controls and verdict,", "heat maps and what they are worth"),
)
DOORS = (  # Floor, side and lines of what comes in or goes out
    (0, "in", ("films of any format,", "any collection")),
    (2, "out", ("bundle: the model as", "numbers and text;", "predict, app")),
    (3, "in", ("predictions", "of any other tool")),
    (4, "out", ("metrics.json, figures,", "audit.html")),
)


def house() -> str:
    "The picture as SVG, readable in light and dark."
    bottom = TOP + STEP*len(FLOORS)
    roof = f'<path class="wall" d="M{LEFT - 40} 112 L{LEFT + WIDTH/2:g} 18 L{LEFT + WIDTH + 40} 112 Z"/>' + words(LEFT + WIDTH/2, 72, "head", "3  run folder") + words(LEFT + WIDTH/2, 94, "small", "config.json and every table")
    walls = f'<path class="wall" d="M{LEFT - 20} 112 V{bottom} H{LEFT + WIDTH + 20} V112 Z"/>'
    parts = [walls, roof, *(floor(i, *f) for i, f in enumerate(FLOORS)), *(arrow(LEFT + WIDTH/2, TOP + STEP*i + TALL, LEFT + WIDTH/2, TOP + STEP*(i + 1) - 4) for i in range(len(FLOORS) - 1)), *(door(*d) for d in DOORS)]
    tip = '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0 L10 5 L0 10 Z"/></marker></defs>'
    about = "<title>The design as a house</title><desc>Data flow down only: manifest, splits, network, predictions table, judgement. The run folder is the roof over all of it. Films come in at the manifest, predictions of other tools at the predictions table.</desc>"
    size = f"{2*LEFT + WIDTH} {bottom + 14}"
    return f'<svg class="house" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img"><style>{STYLE}</style>{about}{tip}\n' + "\n".join(parts) + "\n</svg>\n"


def words(
    x: float,  # Middle
    y: float,  # Base line
    kind: str,  # Class of the text
    text: str,  # What is written
) -> str:
    "A line of text."
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{text.replace("<", "&lt;").replace(">", "&gt;")}</text>'


def floor(
    i: int,  # From the top
    kind: str,  # `joint` or `room`
    name: str,  # What it is
    *lines: str,  # What it holds
) -> str:
    "A floor of the house."
    y, middle = TOP + STEP*i, LEFT + WIDTH/2
    return f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{WIDTH}" height="{TALL}" rx="5"/>' + words(middle, y + 22, "head", name) + "".join(words(middle, y + 40 + 17*k, "small", line) for k, line in enumerate(lines))


def arrow(*ends: float) -> str: return '<path class="arrow" d="M{:g} {:g} L{:g} {:g}"/>'.format(*ends)


def door(
    i: int,  # Floor from the top
    side: str,  # `in` on the left, `out` on the right
    lines: tuple,  # What passes
) -> str:
    "What comes in from outside, or goes out."
    y = TOP + STEP*i + TALL/2
    x, ends = (90, (LEFT - 96, LEFT - 3)) if side == "in" else (2*LEFT + WIDTH - 84, (LEFT + WIDTH + 2, LEFT + WIDTH + 92))
    return arrow(ends[0], y, ends[1], y) + "".join(words(x, y + 22 + 16*k, "small", line) for k, line in enumerate(lines))
