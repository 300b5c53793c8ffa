"""Fuzz the readers of films: real formats with bytes changed, cut, doubled and moved, until the time is up.

    python tests/fuzz_readers.py --minutes 10 [--seed 0]

pytest does not collect this file. Every input has to give an array or an `InputError`; anything else is printed with the file that did it, which is kept, and ends the run with code 1.
A child process reads, so that a crash of a decoder (no exception, but the end of the process) and one that hangs are found as well.
"""
import argparse
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

SECONDS = 20  # for one input, on a busy machine


def mutated(data: bytes, draw: np.random.Generator) -> bytes:
    "The bytes after one to eight changes; three of four fall into the first kilobyte, where headers are."
    data = bytearray(data)
    for _ in range(draw.integers(1, 9)):
        if not data: break
        at = int(draw.integers(min(len(data), 1024) if draw.random() < 0.75 else len(data)))
        n = int(draw.integers(1, 9))
        change = draw.integers(6)
        if change == 0: data[at] ^= 1 << int(draw.integers(8))
        elif change == 1: data[at:at + n] = draw.bytes(n)
        elif change == 2: data[at:at + n] = bytes([int(draw.choice([0, 1, 127, 128, 254, 255]))]) * n
        elif change == 3: del data[at:at + n * int(draw.integers(1, 50))]
        elif change == 4: data[at:at] = data[at:at + n * 8]
        else: del data[at + n:]
    return bytes(data)


def read_all(connection):
    "Answer paths with what reading them came to, until there are no more; runs in the child."
    from covid_fastai.core import InputError
    from covid_fastai.dicom import identifying_tags
    from covid_fastai.radiograph import film_info, read_radiograph
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes its complaints there
    for path in iter(connection.recv, None):
        answer = ""
        for reader in (film_info, read_radiograph, identifying_tags):
            try: reader(path)
            except InputError as e: answer = answer or ("" if "\n" not in str(e) else f"two lines: {e}")
            except BaseException as e: answer = f"{reader.__name__}: {type(e).__name__}: {e}"
        connection.send(answer)


class Reader:
    "A child process that reads, started again when it has died or hangs."
    def __init__(self): self.start()

    def start(self):
        context = multiprocessing.get_context("spawn")
        self.connection, there = context.Pipe()
        self.process = context.Process(target=read_all, args=(there,), daemon=True)
        self.process.start()
        there.close()

    def __call__(self, path) -> str:
        "What went wrong with a file; blank if nothing did."
        try:
            self.connection.send(path)
            if self.connection.poll(SECONDS): return self.connection.recv()
            why = f"no answer in {SECONDS} s"
        except (EOFError, OSError): why = "the process died"
        self.process.kill()
        self.process.join()
        why += f" (exit code {self.process.exitcode})"
        self.start()
        return why


def fuzz(minutes: float, seed: int) -> int:
    "The number of failures; says what it does as it goes."
    from test_hostile import seeds

    draw, keep = np.random.default_rng(seed), Path(tempfile.mkdtemp(prefix="fuzz_readers_"))
    whole, reader, n, failures, end = list(seeds().items()), Reader(), 0, 0, time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        name, data = whole[n % len(whole)]
        path = keep/f"{n}_{name}"
        path.write_bytes(mutated(data, draw))
        why, n = reader(path), n + 1
        if why: print(f"{path}: {why}", flush=True)
        else: path.unlink()
        failures += bool(why)
        if n % 1000 == 0: print(f"{n} inputs, {failures} failures", flush=True)
    print(f"{n} inputs from {len(whole)} files in {minutes:g} minutes, seed {seed}: {failures} failures")
    return failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sys.exit(fuzz(args.minutes, args.seed) > 0)
