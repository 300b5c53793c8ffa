"The page as people use it: in Chromium by Playwright, by gradio_client and by curl; no request leaves this machine, and no film is kept."
import json
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import pytest
import requests
from PIL import Image
from test_hostile import dicom

from covid_fastai.bundle import save_bundle
from covid_fastai.cli import main
from covid_fastai.core import DISCLAIMER, read_table, rng
from covid_fastai.models import xray_model
from covid_fastai.phantom import draw_phantom

COMMAND = str(Path(sys.executable).with_name("covid_fastai"))
SPEC = dict(arch="small_cnn", head="linear", classes=["covid", "normal", "other"], task="three-class", size=96, fit="squish")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def gray_dicom(film, **elements): return dicom(film, 8, PhotometricInterpretation="MONOCHROME2", WindowCenter=None, WindowWidth=None, **elements)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    "A model and files: a PNG, a DICOM film, a CT slice, a text, and twenty films more."
    folder = tmp_path_factory.mktemp("page")
    save_bundle(xray_model("small_cnn", 3, "linear"), SPEC, folder/"bundle", decisions=dict(threshold=0.3, sensitivity=0.9, films=9), verdict=dict(verdict="FAIL", reasons=["The frame alone gives 0.97."]))
    film = draw_phantom("covid", rng(0), 300)[0]
    Image.fromarray(film).save(folder/"film.png")
    (folder/"film.dcm").write_bytes(gray_dicom(film))
    (folder/"slice.dcm").write_bytes(gray_dicom(film, Modality="CT"))
    (folder/"notes.txt").write_text("no film")
    (folder/"many").mkdir()
    for i in range(20): Image.fromarray(draw_phantom("normal", rng(i), 128)[0]).save(folder/"many"/f"{i:02d}.png")
    return folder


@contextmanager
def served(folder, scratch):
    "The command as a process; its address."
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = os.environ | dict(TMPDIR=str(scratch), PYTHONUNBUFFERED="1")
    process = subprocess.Popen([COMMAND, "app", "--bundle", str(folder/"bundle"), "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    try:
        line = process.stdout.readline()
        assert line.startswith(f"http://127.0.0.1:{port}"), line + process.stdout.read()
        yield line.split()[0]
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert not list(scratch.glob("covid_fastai-*"))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory): return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def address(films, scratch):
    with served(films, scratch) as url: yield url


@pytest.fixture(scope="module")
def expected(films):
    "What the command line says of the same films."
    assert main(["predict", "--bundle", str(films/"bundle"), str(films/"film.png"), str(films/"film.dcm"), "--out", str(films/"p.csv")]) == 0
    return read_table(films/"p.csv")


def by_curl(address, paths):
    "Upload, ask, and read the event stream, as Gradio's own page on curl has it."
    uploaded = json.loads(run("curl", "-sf", *(a for p in paths for a in ("-F", f"files=@{p}")), f"{address}/gradio_api/upload"))
    body = json.dumps(dict(data=[[dict(path=p, meta=dict(_type="gradio.FileData")) for p in uploaded]]))
    event = json.loads(run("curl", "-sf", "-H", "Content-Type: application/json", "-d", body, f"{address}/gradio_api/call/predict"))["event_id"]
    stream = run("curl", "-sfN", f"{address}/gradio_api/call/predict/{event}")
    return json.loads(next(line for line in stream.splitlines() if line.startswith("data: ")).removeprefix("data: "))


def run(*args): return subprocess.run(args, capture_output=True, text=True, check=True, timeout=120).stdout


def check_numbers(answers, expected):
    for answer, (_, row) in zip(answers, expected.iterrows(), strict=True):
        assert answer["notice"] == DISCLAIMER and answer["gate"] == "FAIL" and (answer["pred"], answer["flagged"]) == (row["pred"], row["flagged"])
        for c in SPEC["classes"]: assert abs(answer[f"p_{c}"] - float(row[f"p_{c}"])) < 1e-6


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl_gets_the_numbers_of_the_command_line(address, films, expected): check_numbers(by_curl(address, [films/"film.png", films/"film.dcm"])[0], expected)


def test_gradio_client_gets_the_numbers_of_the_command_line(address, films, expected):
    from gradio_client import Client, handle_file
    client = Client(address, verbose=False, analytics_enabled=False)
    check_numbers(client.predict([handle_file(films/n) for n in ("film.png", "film.dcm")], api_name="/predict"), expected)
    refused = client.predict([handle_file(films/n) for n in ("notes.txt", "slice.dcm")], api_name="/predict")
    assert [(r["status"], r["p_covid"]) for r in refused] == [("refused", None)] * 2 and "text file" in refused[0]["reason"] and "CT" in refused[1]["reason"]


def test_twenty_visitors_at_once(address, films, scratch):
    paths = sorted((films/"many").iterdir())
    with ThreadPoolExecutor(20) as pool: answers = list(pool.map(lambda p: by_curl(address, [p])[0][0], paths))
    assert [a["status"] for a in answers] == ["ok"] * 20 and len({a["p_covid"] for a in answers}) > 10
    assert [a["filename"] for a in answers] == [p.name for p in paths]
    assert not [p for p in scratch.rglob("*") if p.is_file() and p.stat().st_size]  # no film is kept; Gradio leaves empty files until it ends


def test_two_visitors_with_one_film_do_not_share_a_file(address, films, scratch):
    "Both upload it before one of them asks; the answer of the first takes its own file alone."
    def upload():
        with open(films/"film.png", "rb") as f: return requests.post(f"{address}/gradio_api/upload", files=dict(files=f), timeout=60).json()[0]

    def ask(path):
        event = requests.post(f"{address}/gradio_api/call/predict", json=dict(data=[[dict(path=path, meta=dict(_type="gradio.FileData"))]]), timeout=30).json()["event_id"]
        return requests.get(f"{address}/gradio_api/call/predict/{event}", timeout=60).text
    first, second = upload(), upload()
    assert first != second and '"status": "ok"' in ask(first)
    assert Path(second).is_file() and not Path(first).exists()
    assert '"status": "ok"' in ask(second) and not Path(second).exists()


@pytest.mark.parametrize("path", ["/etc/hostname", "https://example.org/film.png"])
def test_files_of_this_machine_and_addresses_are_not_opened(address, path):
    event = requests.post(f"{address}/gradio_api/call/predict", json=dict(data=[[dict(path=path, meta=dict(_type="gradio.FileData"))]]), timeout=30).json()["event_id"]
    answer = requests.get(f"{address}/gradio_api/call/predict/{event}", timeout=30).text
    assert "event: error" in answer and "p_covid" not in answer


def test_a_giant_is_refused_before_it_is_read(address, tmp_path):
    (tmp_path/"giant.png").write_bytes(bytes(65 * 2**20))
    with open(tmp_path/"giant.png", "rb") as f: assert requests.post(f"{address}/gradio_api/upload", files=dict(files=f), timeout=60).status_code in (400, 413, 500)


def test_it_listens_on_this_machine_alone(address):
    port = urlparse(address).port
    listening = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    hosts = {local.split(":")[0] for _, local, _, state, *_ in listening if state == "0A" and int(local.split(":")[1], 16) == port}
    assert hosts == {"0100007F"}


def test_a_port_that_is_taken_is_one_line(address, films):
    done = subprocess.run([COMMAND, "app", "--bundle", str(films/"bundle"), "--port", address.rsplit(":", 1)[1]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("covid_fastai: port ") and done.stderr.count("\n") == 1


# In a browser

@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM: pytest.skip("needs Chromium (Debian: apt install chromium)")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture()
def page(browser, address):
    "The page in a window of its own; where it asked for anything, and what it complained of."
    page = browser.new_page(viewport=dict(width=1280, height=900))
    page.asked, page.said = [], []
    page.on("request", lambda r: page.asked.append(r.url))
    page.on("console", lambda m: page.said.append(m.text) if m.type == "error" else None)
    page.set_default_timeout(20_000)
    page.goto(address)
    page.wait_for_selector("#films input[type=file]", state="attached")
    yield page
    page.close()


def drop(page, *paths):
    page.set_input_files("#films input[type=file]", [str(p) for p in paths])
    page.wait_for_selector(f"#result h2:has-text('{paths[0].name}')")


def test_a_film_is_shown_with_numbers_and_heat_map(page, address, films, expected):
    assert DISCLAIMER in page.inner_text("body") and "The control gate says FAIL" in page.inner_text("body")
    drop(page, films/"film.png")
    text = page.inner_text("#result")
    for c in SPEC["classes"]: assert f"{float(expected.iloc[0][f'p_{c}']):.1%}" in text
    sizes = page.eval_on_selector_all("#result .film img", "imgs => imgs.map(i => [i.naturalWidth, i.alt])")
    assert len(sizes) == 2 and sizes[0] == [300, "The film"] and sizes[1][0] == 300 and sizes[1][1].startswith("Heat map of ")
    assert page.locator("#result a[download$='.png']").count() == page.locator("#result a[download$='.json']").count() == 1
    with page.expect_download() as download: page.click("#result a[download$='.json']")
    answer = json.loads(Path(download.value.path()).read_text())
    assert abs(answer["p_covid"] - float(expected.iloc[0]["p_covid"])) < 1e-6 and answer["notice"] == DISCLAIMER
    assert not [u for u in page.asked if not u.startswith((address, "data:", "blob:"))] and page.said == []


def test_another_class_and_less_heat(page, films):
    drop(page, films/"film.dcm")
    before = page.get_attribute("#result .heat", "alt")
    other = next(c for c in SPEC["classes"] if c not in before.split(" over ")[0])
    page.check(f"#class input[value='{other}']")
    page.wait_for_selector(f"#result .heat[alt^='Heat map of {other}']")
    page.fill("#heat input[type=number]", "0.2")
    page.keyboard.press("Tab")
    page.wait_for_function("getComputedStyle(document.querySelector('#result .heat')).opacity === '0.2'")


def test_what_is_no_film_is_refused(page, films):
    for name, why in (("notes.txt", "text file"), ("slice.dcm", "CT")):
        drop(page, films/name)
        assert "Refused" in page.inner_text("#result [role=alert]") and why in page.inner_text("#result [role=alert]")
        assert page.locator("#result img").count() == 0
        page.click("#films button[aria-label*='lear'], #films button[aria-label*='emove']")
        page.wait_for_selector("#films input[type=file]", state="attached")


def test_many_films_are_a_list(page, films):
    paths = sorted((films/"many").iterdir())
    drop(page, *paths)
    assert page.locator("#all tbody tr").count() == 20
    page.click("#which input")
    page.click("#which [role=option]:has-text('3. 02.png'), [role=option]:has-text('3. 02.png')")
    page.wait_for_selector("#result h2:has-text('02.png')")


def test_a_film_is_pasted(page, films):
    page.evaluate("""async bytes => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'pasted.png', {type: 'image/png'}));
        document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}));
    }""", list((films/"film.png").read_bytes()))
    page.wait_for_selector("#result h2:has-text('pasted.png')")


def test_phantoms_and_the_model_card(page):
    page.click("button:has-text('Phantom: normal')")
    page.wait_for_selector("#result h2:has-text('phantom-normal')")
    page.click("button[role=tab]:has-text('Model card')")
    page.wait_for_selector("text=Intended use")


def test_the_keyboard_and_a_screen_reader_find_everything(page, films):
    drop(page, films/"film.png")
    nameless = page.evaluate("""() => [...document.querySelectorAll('button, input, a[href], select, img')].filter(e => e.offsetParent && e.type !== 'hidden' && !(
        e.getAttribute('aria-label') || e.alt || e.textContent.trim() || e.title || e.labels?.length || e.placeholder)).map(e => e.outerHTML.slice(0, 200))""")
    assert nameless == []
    assert page.locator("h1").count() == 1 and page.get_attribute("html", "lang")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('#films, #class, #heat, #result')?.id || document.activeElement.textContent.trim()"))
    assert {"films", "class", "heat", "result", "Phantom: covid", "Model card"} <= reached


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_the_screen(browser, address, films, width, theme, request):
    "Nothing runs out of the window; text and ground differ enough to be read (WCAG 2.1, 1.4.3)."
    page = browser.new_page(viewport=dict(width=width, height=844), color_scheme=theme)
    page.goto(f"{address}/?__theme={theme}")
    page.wait_for_selector("#films input[type=file]", state="attached")
    drop(page, films/"film.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = theme == "dark"
    assert page.evaluate("document.body.classList.contains('dark')") == dark
    low = page.evaluate(CONTRAST)
    assert low == []
    if folder := os.environ.get("COVID_FASTAI_SCREENSHOTS"): page.screenshot(path=f"{folder}/{theme}-{width}.png", full_page=True)
    page.close()


CONTRAST = """() => {
  const channel = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = c => .2126 * channel(c[0]) + .7152 * channel(c[1]) + .0722 * channel(c[2]);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length && (c[3] ?? 1) > .99) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll('#result *, .notice *, h1')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.offsetParent && !e.closest('meter')).map(e => {
    const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
    return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
}"""
