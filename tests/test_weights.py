"Pretrained weights that are downloaded: whole under their name, or one clear line and no file. The server runs in the test."
import contextlib
import hashlib
import os
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import load, save

from covid_fastai.core import InputError
from covid_fastai.archs import ARCHS
from covid_fastai.models import create_xray_body
from covid_fastai.weights import find_weights


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    "Bytes of a weights file of SqueezeNet."
    path = tmp_path_factory.mktemp("weights")/"w.pth"
    torch.save(ARCHS["squeezenet1_1"].build().state_dict(), path)
    return path.read_bytes()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    "An empty torch hub folder."
    monkeypatch.setenv("TORCH_HOME", str(tmp_path/"home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path/"home"/"hub"/"checkpoints"


@contextlib.contextmanager
def server(answer):
    "A server on this machine that answers each request with `answer(handler)`; its address and the list of what was asked."
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            answer(self)

        do_HEAD = do_GET

        def log_message(self, *args): pass

    asked, httpd = [], ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try: yield f"http://127.0.0.1:{httpd.server_port}", asked
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def send(data, length=None, chunked=False):
    "An answer that sends `data`, announces `length` bytes, and hangs up."
    def answer(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        if chunked: handler.send_header("Transfer-Encoding", "chunked")
        else: handler.send_header("Content-Length", str(len(data) if length is None else length))
        handler.end_headers()
        handler.wfile.write(b"%x\r\n" % (2*len(data)) + data if chunked else data)
        handler.close_connection = True
    return answer


def arch_at(url, content):
    "SqueezeNet with its weights at `url`, under a name that carries the hash of `content`."
    return replace(ARCHS["squeezenet1_1"], weights=f"{url}/squeezenet1_1-{hashlib.sha256(content).hexdigest()[:8]}.pth")


def refused(arch, hub):
    "The message of the error, after a look that it says what it must and that no file is left."
    with pytest.raises(InputError) as error: find_weights(arch)
    message = str(error.value)
    for part in (arch.name, arch.weights.rsplit("/", 1)[-1], str(hub), "--weights FILE", "--weights-dir DIR", "--random-weights"): assert part in message
    assert "\n" not in message
    assert not hub.exists() or list(hub.iterdir()) == []
    return message


def test_a_good_file_lands_under_its_name_and_is_asked_for_once(hub, content):
    with server(send(content)) as (url, asked):
        arch = arch_at(url, content)
        path = find_weights(arch)
        assert find_weights(arch) == path
    assert path == hub/arch.weights.rsplit("/", 1)[-1]
    assert path.read_bytes() == content
    assert list(hub.iterdir()) == [path]
    assert len(asked) == 1
    assert create_xray_body(arch, path)[1].weight.equal(torch.load(path, weights_only=True)["features.0.weight"])


@pytest.mark.parametrize("answer", [
    lambda c: send(c[:-1] + bytes([c[-1] ^ 1])),  # one bit is wrong
    lambda c: send(c[:len(c)//2], length=len(c)),  # hangs up half-way
    lambda c: send(c[:len(c)//2], chunked=True),  # hangs up within a chunk
    lambda c: send(b""),
    lambda c: lambda handler: handler.send_error(404),
    lambda c: lambda handler: handler.wfile.write(b"no HTTP\r\n\r\n"),
], ids=["damaged", "cut off", "cut off in a chunk", "empty", "404", "no HTTP"])
def test_a_failed_download_is_one_line_and_leaves_no_file(hub, content, answer):
    with server(answer(content)) as (url, asked):
        arch = arch_at(url, content)
        refused(arch, hub)
        assert len(asked) == 1
    with pytest.raises(InputError): find_weights(arch)  # and is not taken the next time


def test_a_good_file_comes_after_a_bad_one(hub, content):
    answers = [send(content[:100]), send(content)]
    with server(lambda handler: answers.pop(0)(handler)) as (url, _):
        arch = arch_at(url, content)
        refused(arch, hub)
        assert find_weights(arch).read_bytes() == content


def test_no_server(hub, content):
    with server(send(content)) as (url, _): pass
    assert "refused" in refused(arch_at(url, content), hub)


def test_a_folder_that_cannot_be_made(hub, content):
    hub.parents[1].write_text("a file where the folder should be")
    with server(send(content)) as (url, asked):
        arch = arch_at(url, content)
        with pytest.raises(InputError, match="no pretrained weights of squeezenet1_1"): find_weights(arch)
        assert asked == []


# A Hugging Face hub: huggingface_hub reads its address and its folder when it is imported, so whoever looks there does so in a process of its own.

LOOK = """
import sys, time
time.sleep = lambda seconds: None  # huggingface_hub's pauses between tries
from dataclasses import replace
from covid_fastai.archs import ARCHS
from covid_fastai.core import InputError
from covid_fastai.weights import find_weights
for repo in sys.argv[1:]:
    try: print(find_weights(replace(ARCHS["squeezenet1_1"], weights=f"hf-hub:{repo}")))
    except InputError as e: print("refused:", e)
"""


@pytest.fixture(scope="module")
def tensors():
    "Bytes of a safetensors file."
    return save({k: v.contiguous() for k, v in ARCHS["squeezenet1_1"].build().state_dict().items()})


def as_hub(data, end=None):
    "An answer as the hub gives it: what a file is, or the file from the byte where it is asked for; it hangs up at byte `end`."
    def answer(handler):
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        handler.send_response(206 if start else 200)
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": "0123456789abcdef" * 2 + "01234567", "Content-Length": len(data) - start}
        if start: headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        for name, value in headers.items(): handler.send_header(name, str(value))
        handler.end_headers()
        if handler.command == "GET": handler.wfile.write(data[start:end])
        handler.close_connection = True
    return answer


def look(url, home, *repos):
    "What a new process says when it looks for the weights in some repositories of the hub at `url`: a line each; `home` is where it keeps them."
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    env |= dict(HF_ENDPOINT=url, HF_HOME=str(home), HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", no_proxy="127.0.0.1")
    done = subprocess.run([sys.executable, "-c", LOOK, *repos], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(repos), done.stdout
    return lines


def check_refusal(line, repo, home):
    "That a line says what it must."
    for part in ("refused: ", "squeezenet1_1", "model.safetensors", repo, str(home), "--weights FILE", "--weights-dir DIR", "--random-weights"): assert part in line


def test_a_good_file_of_a_hub_is_found_again_without_it(tmp_path, tensors):
    with server(as_hub(tensors)) as (url, asked): path, = look(url, tmp_path, "me/tiny")
    assert asked and set(asked) == {"/me/tiny/resolve/main/model.safetensors"}
    assert path.startswith(str(tmp_path)) and path.endswith("model.safetensors")
    with open(path, "rb") as f: assert f.read() == tensors
    assert create_xray_body("squeezenet1_1", path)[1].weight.equal(load(tensors)["features.0.weight"])
    again, other = look(url, tmp_path, "me/tiny", "me/other")  # nobody answers there now
    assert again == path
    check_refusal(other, "me/other", tmp_path)
    assert "refused" in other.removeprefix("refused: ")


BROKEN = {
    "me/missing": lambda data: lambda handler: handler.send_error(404),
    "me/failing": lambda data: lambda handler: handler.send_error(503),
    "me/cut-off": lambda data: as_hub(data, len(data) // 2),
    "me/no-http": lambda data: lambda handler: handler.wfile.write(b"no HTTP\r\n\r\n"),
    "me/no-hub": lambda data: send(b"a page"),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory, tensors):
    "What is said of each broken repository, how often each was asked, and the folder."
    home, answers = tmp_path_factory.mktemp("hub"), {repo: answer(tensors) for repo, answer in BROKEN.items()}
    with server(lambda handler: answers[handler.path[1:].split("/resolve/")[0]](handler)) as (url, asked): lines = look(url, home, *BROKEN)
    return dict(zip(BROKEN, lines)), Counter(path[1:].split("/resolve/")[0] for path in asked), home


@pytest.mark.parametrize("repo", BROKEN)
def test_a_failed_download_from_a_hub_is_one_line(broken, repo):
    lines, asked, home = broken
    check_refusal(lines[repo], repo, home)
    assert list(home.rglob("model.safetensors")) == []
    assert 1 <= asked[repo] <= (10 if repo == "me/cut-off" else 2)  # only a file that has begun is asked for again
