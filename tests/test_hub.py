"A stand-in of the Hugging Face hub on this machine: a bundle is pushed there and used from there, by the command line."
import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlparse

import numpy as np
import pytest
from PIL import Image

from covid_fastai.bundle import save_bundle
from covid_fastai.cli import main
from covid_fastai.core import read_table
from covid_fastai.models import xray_model

COMMAND = str(Path(sys.executable).with_name("covid_fastai"))
SPEC = dict(arch="small_cnn", head="linear", classes=["covid", "normal", "other"], task="three-class", size=96, fit="squish")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    "One repository, kept in memory; large files come by way of git-lfs, as on the real hub."
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.files, self.blobs, self.made, self.asked = {}, {}, [], []
        self.url = f"http://127.0.0.1:{self.server_port}"
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args): pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked": return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        out = b""
        while n := int(self.rfile.readline().split(b";")[0], 16): out, _ = out + self.rfile.read(n), self.rfile.readline()
        self.rfile.readline()
        return out

    def say(self, data, code=200, **headers):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(code)
        for k, v in {"Content-Length": len(data), **headers}.items(): self.send_header(k.replace("_", "-"), str(v))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(data)

    def do_POST(self):
        hub, path, body = self.server, urlparse(self.path).path, self.body()
        hub.asked.append((path, self.headers.get("Authorization")))
        if path == "/api/repos/create":
            hub.made.append(json.loads(body))
            return self.say(dict(url=f"{hub.url}/jane/model"))
        if path == "/api/validate-yaml": return self.say(dict(errors=[], warnings=[]))
        if path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            return self.say(dict(files=[dict(path=f["path"], uploadMode="lfs" if f["path"].endswith((".safetensors", ".onnx")) else "regular", shouldIgnore=False, oid=None) for f in files]))
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            return self.say(dict(transfer="basic", objects=[dict(o, actions=dict(upload=dict(href=f"{hub.url}/lfs/{o['oid']}"))) for o in objects]))
        if path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()): self.commit(line["key"], line["value"])
            return self.say(dict(success=True, commitOid=COMMIT, commitUrl=f"{hub.url}/jane/model/commit/{COMMIT}", hookOutput=""))
        self.say(dict(error=path), 404)

    def commit(self, key, value):
        if key == "file": self.server.files[value["path"]] = base64.b64decode(value["content"])
        if key == "lfsFile": self.server.files[value["path"]] = self.server.blobs[value["oid"]]

    def do_PUT(self):
        data = self.body()
        assert hashlib.sha256(data).hexdigest() == self.path.rsplit("/", 1)[-1]
        self.server.blobs[self.path.rsplit("/", 1)[-1]] = data
        self.say(b"")

    def do_GET(self):
        hub, path = self.server, urlparse(self.path).path
        hub.asked.append((path, self.headers.get("Authorization")))
        if re.fullmatch(r"/api/models/jane/model(/revision/\w+)?", path):
            return self.say(dict(_id="1", id="jane/model", modelId="jane/model", sha=COMMIT, private=True, tags=[], downloads=0, siblings=[dict(rfilename=n) for n in hub.files]))
        if path.startswith("/api/models/jane/model/tree/"):
            return self.say([dict(type="file", path=n, size=len(d), oid=hashlib.sha1(d).hexdigest()) for n, d in hub.files.items()])
        name = path.removeprefix(f"/jane/model/resolve/{COMMIT}/")
        if name in hub.files: return self.say(hub.files[name], ETag=f'"{hashlib.sha256(hub.files[name]).hexdigest()}"', X_Repo_Commit=COMMIT)
        self.say(dict(error="Repository not found"), 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET


@pytest.fixture()
def hub(): return Hub()


@pytest.fixture()
def run(hub, tmp_path):
    "The command line, with this hub for the real one."
    env = os.environ | dict(HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path/"hf"), HF_HUB_DISABLE_XET="1", HF_TOKEN="hf_secret", HF_HUB_DISABLE_TELEMETRY="1")
    env.pop("HF_HUB_OFFLINE", None)
    return lambda *args: subprocess.run([COMMAND, *map(str, args)], capture_output=True, text=True, env=env, timeout=120)


def test_a_bundle_is_pushed_and_used_from_there(hub, run, tmp_path):
    save_bundle(xray_model("small_cnn", 3, "linear"), SPEC, tmp_path/"bundle")
    (tmp_path/"bundle"/".DS_Store").write_bytes(b"not ours")
    done = run("bundle", "push", tmp_path/"bundle", "jane/model")
    assert done.returncode == 0 and done.stdout == "pushed; use it as --bundle hf://jane/model\n", done.stderr
    assert hub.made[0]["name"] == "model" and hub.made[0]["organization"] == "jane" and (hub.made[0].get("private") is True or hub.made[0].get("visibility") == "private")
    assert set(hub.files) == {"bundle.json", "model.safetensors", "README.md"} and all(token == "Bearer hf_secret" for _, token in hub.asked)
    assert all(hub.files[n] == (tmp_path/"bundle"/n).read_bytes() for n in hub.files)

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)).save(tmp_path/"film.png")
    hub.files["evil.pkl"] = b"\x80\x04."
    def predict(bundle, out): return ["predict", "--bundle", str(bundle), str(tmp_path/"film.png"), "--out", str(tmp_path/out), "--no-check"]
    done = run(*predict("hf://jane/model", "hub.csv"))
    assert done.returncode == 0 and main(predict(tmp_path/"bundle", "here.csv")) == 0, done.stderr
    assert (tmp_path/"hub.csv").read_bytes() == (tmp_path/"here.csv").read_bytes() and read_table(tmp_path/"hub.csv")["status"].tolist() == ["ok"]
    assert not any("evil" in path for path, _ in hub.asked)


def test_what_is_not_there_or_not_whole_is_one_line(hub, run, tmp_path, capfd):
    (tmp_path/"film.png").write_bytes(b"")
    done = run("predict", "--bundle", "hf://jane/other", tmp_path/"film.png", "--out", tmp_path/"p.csv")
    assert done.returncode == 2 and done.stderr.startswith("covid_fastai: no bundle at hf://jane/other (") and done.stderr.count("\n") == 1
    save_bundle(xray_model("small_cnn", 3, "linear"), SPEC, tmp_path/"bundle")
    hub.files = {p.name: p.read_bytes() for p in (tmp_path/"bundle").iterdir()}
    hub.files["model.safetensors"] = hub.files["model.safetensors"][:-4] + b"\0\0\0\1"
    done = run("predict", "--bundle", "hf://jane/model", tmp_path/"film.png", "--out", tmp_path/"p.csv")
    assert done.returncode == 2 and "sha256 differs" in done.stderr
    with open(tmp_path/"bundle"/"model.safetensors", "ab") as f: f.write(b"\0")
    assert main(["bundle", "push", str(tmp_path/"bundle"), "jane/model"]) == 2 and not hub.made
    assert "sha256 differs" in capfd.readouterr().err
