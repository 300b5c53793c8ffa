"Collections over a bad line and from servers that lie; archives that nobody trusts. No network: every server here is on this machine."
import bz2
import gzip
import hashlib
import io
import lzma
import multiprocessing
import os
import re
import resource
import stat
import struct
import subprocess
import sys
import tarfile
import textwrap
import time
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from conftest import ROOT

from covid_fastai import archives, sources
from covid_fastai.archives import Limits, unpack
from covid_fastai.core import InputError, WorkError
from covid_fastai.sources import PIECE, SOURCES, RemoteFile, Source, Transfer, download, fetch

QUICK = Transfer(retries=2, wait=0.001, timeout=0.5)
BODY = bytes(range(251)) * 1000  # 251,000 bytes: 15 pieces and a rest


class Server(ThreadingHTTPServer):
    "A server of one file, `answer(server, request)` says how; it keeps what it was asked."
    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Request)
        self.answer, self.asked, self.body = answer, [], BODY
        self.url = f"http://127.0.0.1:{self.server_port}/film.bin"
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request, client_address): pass  # A client that hangs up is what is tested

    def file(self, known=True, **kw):
        "The file of this server, with its size and checksum when they are known."
        known = dict(size=len(self.body), checksum=f"sha256:{hashlib.sha256(self.body).hexdigest()}") if known else {}
        return RemoteFile(self.url, **known | kw)


class Request(BaseHTTPRequestHandler):
    "One request of a `Server`."
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.start = int(re.match(r"bytes=(\d+)-$", self.headers["Range"])[1]) if self.headers["Range"] else 0
        self.server.asked.append((self.start, self.headers["If-Range"]))
        self.close_connection = True
        self.server.answer(self.server, self)

    def send(self, start=0, mark='"v1"', length=None, stop=None, status=None, **headers):
        "Answer with the body from `start`; `stop` breaks the line after so many bytes, `length` is what is announced."
        body = self.server.body
        self.send_response(status or (206 if start else 200))
        if start and "content_range" not in headers: headers["content_range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        for name, value in dict(headers, etag=mark).items():
            if value is not None: self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(body) - start if length is None else length))
        self.end_headers()
        self.wfile.write(body[start:] if stop is None else body[start:start + stop])

    def log_message(self, *args): pass


@pytest.fixture
def serve():
    "Starts servers and stops them."
    running = []

    def start(answer):
        running.append(Server(answer))
        return running[-1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def left(folder):
    "What stands in a folder, without the locks."
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def good(server, request): request.send(request.start)
def breaking(server, request): request.send(request.start, stop=5 * PIECE + 99)


# A bad line

def test_a_whole_file(serve, tmp_path):
    server = serve(good)
    path = fetch(server.file(), tmp_path, QUICK)
    assert path == tmp_path/"film.bin" and path.read_bytes() == BODY
    assert left(tmp_path) == ["film.bin"] and server.asked == [(0, None)]


def test_a_broken_transfer_is_resumed_within_a_call(serve, tmp_path):
    server = serve(breaking)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert server.asked == [(0, None), (5 * PIECE, '"v1"'), (10 * PIECE, '"v1"'), (15 * PIECE, '"v1"')]


def test_a_broken_transfer_is_resumed_by_the_next_call(serve, tmp_path):
    def once(server, request):
        if len(server.asked) == 1: return request.send(stop=5 * PIECE)
        request.send(status=503)

    server = serve(once)
    with pytest.raises(WorkError, match=rf"503.*{5 * PIECE:,} bytes are kept.*goes on from there"): fetch(server.file(), tmp_path, QUICK)
    assert left(tmp_path) == [".film.bin.part", ".film.bin.part.json"]
    server.answer = good
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert server.asked[-1] == (5 * PIECE, '"v1"') and left(tmp_path) == ["film.bin"]


def test_a_killed_process_loses_a_piece_at_most(serve, tmp_path):
    def slow(server, request):
        request.send(request.start, stop=8 * PIECE)
        time.sleep(10)

    server = serve(slow)
    code = f"from covid_fastai.sources import *\nfetch(RemoteFile({server.url!r}), {str(tmp_path)!r}, Transfer(timeout=30))"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part = tmp_path/".film.bin.part"
    try:
        for _ in range(600):
            if part.exists() and part.stat().st_size >= 7 * PIECE: break
            time.sleep(0.05)
    finally: child.kill()
    child.wait()
    had = part.stat().st_size
    server.answer = good
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert had >= 7 * PIECE and server.asked[-1] == (had, '"v1"')


def test_a_server_that_ignores_range_sends_all_again(serve, tmp_path):
    def whole(server, request): request.send(stop=5 * PIECE if len(server.asked) == 1 else None)
    server = serve(whole)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert [start for start, _ in server.asked] == [0, 5 * PIECE]


def test_a_server_that_ignores_range_and_always_breaks_is_given_up(serve, tmp_path):
    server = serve(lambda server, request: request.send(stop=5 * PIECE))
    with pytest.raises(WorkError, match="the line broke"): fetch(server.file(), tmp_path, QUICK)
    assert len(server.asked) == 2 + QUICK.retries  # The first brings something, the others nothing new
    assert "film.bin" not in left(tmp_path)


def test_without_a_mark_nothing_is_joined(serve, tmp_path):
    server = serve(lambda server, request: request.send(mark=None, stop=5 * PIECE if len(server.asked) == 1 else None))
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert server.asked == [(0, None), (0, None)]


def test_a_weak_mark_is_none_and_a_date_is_one(serve, tmp_path):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server = serve(lambda server, request: request.send(request.start, mark='W/"v1"', last_modified=date, stop=5 * PIECE if len(server.asked) == 1 else None))
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert server.asked[1] == (5 * PIECE, date)


def test_a_file_that_changes_between_two_attempts_is_not_joined(serve, tmp_path):
    new = bytes(reversed(BODY))

    def changing(server, request):
        if len(server.asked) == 1: return request.send(stop=5 * PIECE)
        server.body = new
        request.send(request.start if request.headers["If-Range"] == '"v2"' else 0, mark='"v2"')

    server = serve(changing)
    assert fetch(RemoteFile(server.url), tmp_path, QUICK).read_bytes() == new
    assert server.asked == [(0, None), (5 * PIECE, '"v1"')]


def test_a_server_that_joins_two_files_is_noticed_by_the_checksum_and_asked_again(serve, tmp_path):
    new = bytes(reversed(BODY))

    def lying(server, request):
        if len(server.asked) == 1: return request.send(stop=5 * PIECE)
        server.body = new
        request.send(request.start)  # The old mark, and the bytes of another file

    server = serve(lying)
    file = RemoteFile(server.url, checksum=f"md5:{hashlib.md5(new).hexdigest()}")
    assert fetch(file, tmp_path, QUICK).read_bytes() == new
    assert [start for start, _ in server.asked] == [0, 5 * PIECE, 0]


def test_a_wrong_span_is_not_joined(serve, tmp_path):
    def wrong(server, request):
        if len(server.asked) == 1: return request.send(stop=5 * PIECE)
        request.send(request.start, **(dict(content_range="bytes 7-9/251000") if request.start else {}))

    server = serve(wrong)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert [start for start, _ in server.asked] == [0, 5 * PIECE, 0]


def test_a_part_that_is_complete_is_not_asked_for_again(serve, tmp_path):
    server = serve(good)
    (tmp_path/".film.bin.part").write_bytes(BODY)
    (tmp_path/".film.bin.part.json").write_text('{"url": "%s", "mark": "\\"v1\\"", "total": %d}' % (server.url, len(BODY)))
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY and server.asked == []


def test_a_part_of_another_address_or_without_a_note_is_not_joined(serve, tmp_path):
    server = serve(good)
    (tmp_path/".film.bin.part").write_bytes(b"x" * 1000)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    (tmp_path/"film.bin").unlink()
    (tmp_path/".film.bin.part").write_bytes(b"x" * 1000)
    (tmp_path/".film.bin.part.json").write_text('{"url": "http://elsewhere/film.bin", "mark": "\\"v1\\"", "total": 251000}')
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert server.asked == [(0, None)] * 2


def test_a_part_that_is_longer_than_the_file_leaves_no_rest(serve, tmp_path):
    server = serve(good)
    (tmp_path/".film.bin.part").write_bytes(b"x" * 300_000)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY and server.asked == [(0, None)]


def test_a_range_that_is_not_there_starts_again(serve, tmp_path):
    def shrunk(server, request):
        if len(server.asked) == 1: return request.send(stop=5 * PIECE)
        if request.start: return request.send(status=416, length=0, stop=0)
        request.send()

    server = serve(shrunk)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert [start for start, _ in server.asked] == [0, 5 * PIECE, 0]


# Servers that lie

def test_a_server_that_announces_too_much(serve, tmp_path):
    server = serve(lambda server, request: request.send(length=len(BODY) + 1000))
    with pytest.raises(WorkError, match="announces 252,000 bytes, not 251,000"): fetch(server.file(), tmp_path, QUICK)
    with pytest.raises(WorkError, match="the line broke"): fetch(server.file(known=False), tmp_path, QUICK)
    assert "film.bin" not in left(tmp_path)


def test_a_server_that_announces_too_little(serve, tmp_path):
    server = serve(lambda server, request: request.send(length=1000))
    with pytest.raises(WorkError, match="announces 1,000 bytes, not 251,000"): fetch(server.file(), tmp_path, QUICK)
    with pytest.raises(WorkError, match="has the sha256 sum .*nothing was kept"): fetch(server.file(size=None), tmp_path, QUICK)
    assert left(tmp_path) == []


def test_a_server_that_announces_nothing(serve, tmp_path):
    def chunked(server, request):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for i in range(0, len(BODY), 50_000):
            if server.broken and i: return
            piece = BODY[i:i + 50_000]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        request.wfile.write(b"0\r\n\r\n")

    server = serve(chunked)
    server.broken = False
    assert fetch(server.file(), tmp_path/"a", QUICK).read_bytes() == BODY
    with pytest.raises(WorkError, match="has 251,000 bytes, not 7; nothing was kept"): fetch(server.file(known=False, size=7), tmp_path/"c", QUICK)
    server.broken = True
    with pytest.raises(WorkError, match="the line broke"): fetch(server.file(known=False), tmp_path/"b", QUICK)


def test_a_server_without_end_is_stopped_by_the_disk(serve, tmp_path, monkeypatch):
    def endless(server, request):
        request.send_response(200)
        request.end_headers()
        while True: request.wfile.write(bytes(PIECE))

    seen = []
    def free(folder):
        seen.append(folder)
        return SimpleNamespace(free=10**6 - len(seen) * PIECE)

    monkeypatch.setattr(sources.shutil, "disk_usage", free)
    server = serve(endless)
    with pytest.raises(WorkError, match="GB are needed.*make room"): fetch(server.file(known=False), tmp_path, replace(QUICK, reserve=0))
    assert "film.bin" not in left(tmp_path) and len(seen) < 100


def test_a_damaged_file_leaves_nothing(serve, tmp_path):
    server = serve(good)
    file = server.file()
    server.body = BODY[:1000] + b"?" + BODY[1001:]
    with pytest.raises(WorkError, match="was received and has the sha256 sum [0-9a-f]{64}, not [0-9a-f]{64}; nothing was kept"): fetch(file, tmp_path, QUICK)
    assert left(tmp_path) == [] and len(server.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_another_attempt_does_not_change_is_asked_once(serve, tmp_path, status):
    server = serve(lambda server, request: request.send(status=status))
    with pytest.raises(WorkError, match=f"answers {status} .*open its page in a browser"): fetch(server.file(), tmp_path, QUICK)
    assert len(server.asked) == 1 and left(tmp_path) == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_may_pass_is_asked_again(serve, tmp_path, status):
    server = serve(lambda server, request: request.send(status=status if len(server.asked) < 3 else None))
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    server.answer = lambda server, request: request.send(status=status)
    with pytest.raises(WorkError, match=f"the server answers {status}"): fetch(server.file(name="other.bin"), tmp_path, QUICK)
    assert len(server.asked) == 3 + 1 + QUICK.retries


def test_a_web_page_is_no_archive(serve, tmp_path):
    server = serve(lambda server, request: request.send(content_type="text/html; charset=utf-8"))
    with pytest.raises(WorkError, match="with a web page instead of film.bin: it may want a login"): fetch(server.file(known=False), tmp_path, QUICK)
    assert left(tmp_path) == [] and fetch(server.file(name="page.html"), tmp_path, QUICK).exists()


def test_redirects_are_followed_and_circles_are_not(serve, tmp_path):
    target = serve(good)
    server = serve(lambda server, request: request.send(status=302, location=target.url, length=0, stop=0))
    assert fetch(replace(target.file(), url=server.url), tmp_path, QUICK).read_bytes() == BODY
    server.answer = lambda server, request: request.send(status=302, location=server.url, length=0, stop=0)
    with pytest.raises(WorkError, match="TooManyRedirects"): fetch(server.file(name="circle.bin"), tmp_path, replace(QUICK, retries=0))
    server.answer = lambda server, request: request.send(status=302, location="file:///etc/passwd", length=0, stop=0)
    with pytest.raises(WorkError, match="no connection"): fetch(server.file(name="passwd.bin"), tmp_path, replace(QUICK, retries=0))


def test_a_way_from_https_to_http_is_refused():
    answer = type("Answer", (), dict(status_code=200, reason="OK", url="http://host/film.bin", headers={}))
    with pytest.raises(WorkError, match="leads to http://host/film.bin, which is not encrypted"): sources._judge(answer, RemoteFile("https://host/film.bin"), None)


def test_a_stalled_server_is_asked_again(serve, tmp_path):
    def stalled(server, request):
        request.send(request.start, stop=5 * PIECE if len(server.asked) == 1 else None)
        if len(server.asked) == 1: time.sleep(2)

    server = serve(stalled)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY
    assert server.asked[1] == (5 * PIECE, '"v1"')


def test_a_slow_server_is_waited_for(serve, tmp_path):
    def slow(server, request):
        request.send(stop=0)
        for i in range(0, len(BODY), 25_000):
            request.wfile.write(BODY[i:i + 25_000])
            time.sleep(0.1)

    server = serve(slow)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == BODY and len(server.asked) == 1  # 1.1 s in all, never 0.5 s without a byte


def test_nobody_there(tmp_path):
    with pytest.raises(WorkError, match="no connection"): fetch(RemoteFile("http://127.0.0.1:9/film.bin"), tmp_path, QUICK)
    assert left(tmp_path) == []


def test_compressed_answers_are_not_asked_for(serve, tmp_path):
    wanted = []
    server = serve(lambda server, request: (wanted.append(request.headers["Accept-Encoding"]), request.send()))
    fetch(server.file(), tmp_path, QUICK)
    assert wanted == ["identity"]


# Two at once, full disks

def fetch_in_a_process(url, checksum, folder, results): results.put(fetch(RemoteFile(url, checksum=checksum), folder, Transfer(timeout=10)).read_bytes() == BODY)


def test_two_processes_fetch_once(serve, tmp_path):
    def slow(server, request):
        time.sleep(0.3)
        request.send(request.start)

    server = serve(slow)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    children = [context.Process(target=fetch_in_a_process, args=(server.url, server.file().checksum, tmp_path, results)) for _ in range(2)]
    for child in children: child.start()
    assert [results.get(timeout=60) for _ in children] == [True, True]
    for child in children: child.join()
    assert len(server.asked) == 1 and left(tmp_path) == ["film.bin"]


def test_a_disk_without_room_is_noticed_before_the_first_byte(serve, tmp_path):
    server = serve(good)
    with pytest.raises(WorkError, match="GB are needed in"): fetch(server.file(), tmp_path, replace(QUICK, reserve=10**18))
    with pytest.raises(WorkError, match="GB are needed in"): download(Source("mine", "Mine", server.url, "CC0-1.0", files=(server.file(),)), tmp_path, transfer=replace(QUICK, reserve=10**18))
    assert left(tmp_path) == []


def test_a_disk_that_fills_up_is_one_line(serve, tmp_path):
    server = serve(good)
    code = textwrap.dedent(f"""
        import resource, signal
        from covid_fastai.core import WorkError
        from covid_fastai.sources import RemoteFile, fetch
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try: fetch(RemoteFile({server.url!r}), {str(tmp_path)!r})
        except WorkError as e: print(e)""")
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert re.search(r"cannot be written \(File too large\)", out.stdout), out
    assert "film.bin" not in left(tmp_path)


# Collections

def zip_of(entries):
    "The bytes of a zip file."
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in entries: z.writestr(name, data)
    return out.getvalue()


def test_a_collection_over_a_bad_line(serve, tmp_path):
    server = serve(breaking)
    server.body = zip_of([(f"images/{i}.png", os.urandom(20_000)) for i in range(20)])
    mine = Source("mine", "Mine", server.url, "CC0-1.0", files=(server.file(name="films.zip"),))
    row = download(mine, tmp_path, transfer=QUICK).iloc[0]
    assert (row.verified, row.bytes, len(list((tmp_path/"films"/"images").iterdir()))) == ("sha256", len(server.body), 20)
    asked = len(server.asked)
    download(mine, tmp_path, transfer=QUICK)
    assert asked > 3 and len(server.asked) == asked and left(tmp_path) == ["films", "films.zip"]


def test_a_hostile_collection_leaves_its_archive_and_no_folder(serve, tmp_path):
    server = serve(good)
    server.body = zip_of([("good.png", b"1"), ("../bad.png", b"2")])
    with pytest.raises(InputError, match="would lie outside"): download(RemoteFile(server.url, "films.zip"), tmp_path/"to", transfer=QUICK)
    assert left(tmp_path/"to") == ["films.zip"] and left(tmp_path) == ["to"]


def test_nothing_is_fetched_that_nobody_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.requests, "get", lambda *a, **k: pytest.fail("the network was used"))
    for name, source in SOURCES.items():
        if source.files: continue
        with pytest.raises(InputError, match=re.escape(source.page)) as e: download(name, tmp_path/name)
        assert "\n" not in str(e.value) and not (tmp_path/name).exists()
    sources.source_table()
    (tmp_path/"by-hand.zip").write_bytes(zip_of([("1.png", b"1")]))
    assert download("cohen", tmp_path/"to", archives=[tmp_path/"by-hand.zip"]).folder.item() == str(tmp_path/"to"/"by-hand")


# Archives

def tar_of(entries, mode="w"):
    "The bytes of a tar file; an entry is a name and bytes, or the values of a `TarInfo` (with `data`)."
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as t:
        for name, values in entries:
            values = dict(data=values) if isinstance(values, bytes) else dict(values)
            data = values.pop("data", b"")
            info = tarfile.TarInfo(name)
            for key, value in dict(size=len(data), **values).items(): setattr(info, key, value)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_entry(name, mode=0, **values):
    "An entry of a zip file with a Unix mode."
    info = zipfile.ZipInfo("x")
    info.filename, info.external_attr = name, mode << 16
    for key, value in values.items(): setattr(info, key, value)
    return info


def encrypted(data):
    "A zip file whose entries claim to be encrypted."
    data = bytearray(data)
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        i = data.find(mark)
        data[i + at] |= 1
    return bytes(data)


def changed(data, at): return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def giant_header():
    "The block of a tar that announces a header of 8 GiB."
    info = tarfile.TarInfo("h")
    info.type, info.size = tarfile.XHDTYPE, 8**11 - 1
    return info.tobuf()


LINK, FIFO = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644
FINE = [("a/1.png", b"one"), ("a/2.png", b"two")]
HOSTILE = {
    "zip: up": zip_of([*FINE, ("../x", b"x")]), "zip: up in the middle": zip_of([("a/../../x", b"x")]), "zip: absolute": zip_of([("/tmp/x", b"x")]), "zip: backslash": zip_of([("a\\..\\..\\x", b"x")]),
    "zip: drive": zip_of([("C:x", b"x")]), "zip: network": zip_of([("//host/share/x", b"x")]), "zip: control": zip_of([("a\nb", b"x")]), "zip: only dots": zip_of([("..", b"x")]), "zip: dot": zip_of([(".", b"x")]),
    "zip: link": zip_of([(zip_entry("l", LINK), b"/etc/passwd")]), "zip: pipe": zip_of([(zip_entry("p", FIFO), b"")]), "zip: link then file": zip_of([(zip_entry("l", LINK), b"/tmp"), ("l/x", b"x")]),
    "zip: twice": zip_of([("a", b"1"), ("./a", b"2")]), "zip: file as folder": zip_of([("a", b"1"), ("a/b", b"2")]), "zip: encrypted": encrypted(zip_of(FINE)), "zip: long name": zip_of([("n" * 5000, b"x")]),
    "zip: cut": zip_of(FINE)[:-30], "zip: changed": changed(zip_of([("a", os.urandom(999))]), 500), "zip: only its head": b"PK\3\4", "empty": b"", "text": b"not an archive", "page": b"<html>log in</html>" * 99,
    "tar: up": tar_of([("../x", b"x")]), "tar: absolute": tar_of([("/tmp/x", b"x")]), "tar: link": tar_of([("l", dict(type=tarfile.SYMTYPE, linkname="/etc/passwd"))]),
    "tar: link inside": tar_of([("a", b"1"), ("l", dict(type=tarfile.SYMTYPE, linkname="a"))]), "tar: hard link": tar_of([("l", dict(type=tarfile.LNKTYPE, linkname="../../x"))]),
    "tar: link then file": tar_of([("l", dict(type=tarfile.SYMTYPE, linkname="/tmp")), ("l/x", b"x")]), "tar: device": tar_of([("d", dict(type=tarfile.BLKTYPE))]), "tar: pipe": tar_of([("p", dict(type=tarfile.FIFOTYPE))]),
    "tar: unknown type": tar_of([("u", dict(type=b"Z", data=b"x"))]), "tar: twice": tar_of([("a", b"1"), ("a", b"2")]),
    "tar: cut in a file": tar_of([("a", b"1" * 5000)])[:2000], "tar: cut between files": tar_of([("a", b"1"), ("b", b"2")])[:1024], "tar: damaged header": (lambda t: t[:1024] + b"?" * 512 + t[1536:])(tar_of([("a", b"1"), ("b", b"2")])),
    "tar.gz: cut": gzip.compress(tar_of(FINE))[:-20], "tar.gz: wrong sum": gzip.compress(tar_of(FINE))[:-8] + b"12345678", "tar.bz2: cut": bz2.compress(tar_of(FINE))[:-20], "tar.xz: cut": lzma.compress(tar_of(FINE))[:-20],
    "gz of no tar": gzip.compress(b"filename,label\n" * 99), "tar: giant header": gzip.compress(giant_header() + bytes(10**6)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_one_line_and_leaves_nothing(tmp_path, name):
    (tmp_path/"films.zip").write_bytes(HOSTILE[name])
    with pytest.raises(InputError) as e: unpack(tmp_path/"films.zip", tmp_path/"in"/"films")
    assert "\n" not in str(e.value) and len(str(e.value)) < 700
    assert left(tmp_path) == ["films.zip", "in"] and left(tmp_path/"in") == []


BOMBS = {
    "zip of zeros": lambda: zip_of([("zeros", bytes(110 * 2**20))]), "tar.gz of zeros": lambda: tar_of([("zeros", bytes(110 * 2**20))], "w:gz"),
    "zip of many": lambda: zip_of([(f"{i}/{j}", b"") for i in range(21) for j in range(100)]), "tar.gz of many": lambda: tar_of([(str(i), b"") for i in range(2100)], "w:gz"),
    "tar.gz with a long tail": lambda: gzip.compress(tar_of([("a", b"1")]) + bytes(110 * 2**20)), "tar.gz with a long name": lambda: tar_of([("n" * (80 * 2**20), b"1")], "w:gz"),
    "tar.xz of zeros": lambda: tar_of([("zeros", bytes(110 * 2**20))], "w:xz"), "nested headers": lambda: gzip.compress(b"".join(tar_of([("n" * 200, b"")])[:-9 * 1024] for _ in range(3000))),
}


def unpack_in_one_gigabyte(archive, to, results):
    "Unpack with 1 GiB of data and say what happened."
    resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))
    try: results.put(str(unpack(archive, to, Limits(files=2000))))
    except InputError as e: results.put(f"refused: {e}")


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_neither_disk_nor_memory(tmp_path, name):
    (tmp_path/"bomb").write_bytes(BOMBS[name]())
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=unpack_in_one_gigabyte, args=(tmp_path/"bomb", tmp_path/"films", results))
    child.start()
    try: said = results.get(timeout=60)
    finally: child.kill()
    assert said.startswith("refused") and re.search("bomb|damaged", said), said
    assert left(tmp_path) == ["bomb"]


def test_a_zip_that_lists_too_much_is_refused_before_it_is_read(tmp_path):
    data = bytearray(zip_of(FINE))
    end = data.rfind(b"PK\5\6")
    data[end + 12:end + 16] = struct.pack("<I", 2**31)
    (tmp_path/"a.zip").write_bytes(data)
    with pytest.raises(InputError, match="has a list of 2,147,483,648 bytes"): unpack(tmp_path/"a.zip", tmp_path/"a")
    data[end + 12:end + 16] = b"\xff" * 4
    (tmp_path/"b.zip").write_bytes(data[:end] + b"PK\6\6" + bytes(36) + struct.pack("<QQ", 2**40, 0) + data[end:])
    with pytest.raises(InputError, match="has a list of 1,099,511,627,776 bytes"): unpack(tmp_path/"b.zip", tmp_path/"b")


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_good_archives_of_every_kind(tmp_path, mode):
    entries = [*FINE, ("labels.csv", b"filename,label\n"), ("Ärzte/1.png", b"x")]
    (tmp_path/"films").write_bytes(zip_of([("a/", b""), *entries]) if mode == "zip" else tar_of([("a/", dict(type=tarfile.DIRTYPE)), *entries], mode))
    to = unpack(tmp_path/"films", tmp_path/"to")
    assert {str(p.relative_to(to)): p.read_bytes() for p in to.rglob("*") if p.is_file()} == dict(entries)


def test_rights_of_the_archive_are_not_taken_over(tmp_path):
    (tmp_path/"a.tar").write_bytes(tar_of([("run", dict(data=b"x", mode=0o6777))]))
    (tmp_path/"a.zip").write_bytes(zip_of([(zip_entry("run", stat.S_IFREG | 0o6777), b"x")]))
    for kind in ("tar", "zip"): assert not unpack(tmp_path/f"a.{kind}", tmp_path/kind).joinpath("run").stat().st_mode & 0o7111


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path/".films.unpacking"/"half").mkdir(parents=True)
    (tmp_path/"films.zip").write_bytes(zip_of(FINE))
    assert left(unpack(tmp_path/"films.zip", tmp_path/"films")) == ["a"] and left(tmp_path) == ["films", "films.zip"]


def test_an_interrupted_unpacking_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path/"films.zip").write_bytes(zip_of(FINE))
    def stop(*args): raise KeyboardInterrupt
    monkeypatch.setattr(archives, "_write", stop)
    with pytest.raises(KeyboardInterrupt): unpack(tmp_path/"films.zip", tmp_path/"films")
    assert left(tmp_path) == ["films.zip"]


def test_a_folder_that_is_there_is_never_written_to(tmp_path):
    (tmp_path/"films.zip").write_bytes(zip_of(FINE))
    (tmp_path/"films").mkdir()
    with pytest.raises(InputError, match="is already there"): unpack(tmp_path/"films.zip", tmp_path/"films")
    assert left(tmp_path/"films") == []


def test_a_header_cannot_ask_for_all_memory():
    careful = archives._Careful(io.BytesIO(b"film"))
    for size in (-1, archives.MEMORY + 1):
        with pytest.raises(tarfile.ReadError, match="a header of"): careful.read(size)
    assert careful.read(2) == b"fi"
