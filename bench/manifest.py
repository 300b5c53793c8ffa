"""How long a manifest of many films takes to read, check and gate, and to build from a collection's table, and how fast DICOM headers are read: made-up rows, empty or tiny files in a temporary folder.

    python bench/manifest.py [--films 100000] [--headers 1000]

The rows have all the columns of a collection; the films lie in `images/` beside the manifest, so that each is looked for in two folders. The build reads the table of NIH ChestX-ray14, its films spread over twelve folders, and the first bytes of each film.
The DICOM files are of 512 x 512 pixels and 16 bits, uncompressed, just written and so in the disk's cache; they are read by one process, one after the other.
"""
import argparse
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from covid_fastai.core import LABELS
from covid_fastai.dicom import dicom_header
from covid_fastai.layouts import build_manifest
from covid_fastai.licenses import allow_licenses
from covid_fastai.manifest import check_manifest, format_check, read_manifest

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")  # The beginning of one


@contextmanager
def timed(what):
    "A line with the seconds that a block took."
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:6.2f} s  {what}", flush=True)


def manifest(folder, n):
    "A manifest of n made-up rows, and its empty films."
    (folder/"images").mkdir()
    for i in range(n): (folder/"images"/f"{i:06}.png").touch()
    pd.DataFrame(dict(
        filename=[f"{i:06}.png" for i in range(n)], label=[LABELS[i % 3] for i in range(n)], finding=[f"finding {i % 40}" for i in range(n)], source=[f"source {i % 7}" for i in range(n)],
        patient_id=[f"p{i // 3}" for i in range(n)], view="PA", age=[str(i % 90) for i in range(n)], sex="F", license=[("CC BY 4.0", "CC0", "")[i % 3] for i in range(n)],
        url=[f"https://example.org/{i}" for i in range(n)], mask="", offset=[str(i % 30) for i in range(n)])).to_csv(folder/"manifest.csv", index=False)
    return folder/"manifest.csv"


def nih(folder, n):
    "The table of n films as NIH publishes it, and their first bytes."
    names = [f"{i // 4:08}_{i % 4:03}.png" for i in range(n)]
    for k in range(12): (folder/f"images_{k:03}"/"images").mkdir(parents=True)
    for i, name in enumerate(names): (folder/f"images_{i % 12:03}"/"images"/name).write_bytes(PNG)
    pd.DataFrame({"Image Index": names, "Finding Labels": [("No Finding", "Pneumonia|Effusion", "Mass")[i % 3] for i in range(n)], "Follow-up #": "0", "Patient ID": [str(i // 4) for i in range(n)],
        "Patient Age": [str(i % 90) for i in range(n)], "Patient Sex": "M", "View Position": "PA"}).to_csv(folder/"Data_Entry_2017_v2020.csv", index=False)


def dicom_files(folder, n):
    "n films as a machine writes them, with the tags of a usual header."
    ds, ds.file_meta = Dataset(), FileMetaDataset()
    ds.file_meta.TransferSyntaxUID, ds.SOPClassUID, ds.SOPInstanceUID = ExplicitVRLittleEndian, "1.2.840.10008.5.1.4.1.1.1.1", generate_uid(entropy_srcs=["bench"])
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition, ds.PatientID, ds.PatientName, ds.PatientSex, ds.PatientAge = "DX", "CHEST", "PA", "p1", "Made^Up", "F", "058Y"
    ds.Rows = ds.Columns = 512
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.SamplesPerPixel, ds.PixelRepresentation, ds.PhotometricInterpretation = 16, 12, 11, 1, 0, "MONOCHROME2"
    for i in range(60): ds.add_new(0x00190000 + 0x1000 + i, "LO", f"a private tag {i}")
    ds.add_new(0x00190010, "LO", "BENCH")
    ds.PixelData = np.random.default_rng(0).integers(0, 4096, (512, 512), np.uint16).tobytes()
    for i in range(n): ds.save_as(folder/f"{i:05}.dcm", enforce_file_format=True)
    return [folder/f"{i:05}.dcm" for i in range(n)]


def headers_a_second(n):
    with tempfile.TemporaryDirectory() as d:
        files = dicom_files(Path(d), n)
        start = time.perf_counter()
        for f in files: dicom_header(f)
        return n / (time.perf_counter() - start)


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--films", type=int, default=100_000, help="how many films (default: %(default)s)")
    args.add_argument("--headers", type=int, default=1000, help="how many DICOM files (default: %(default)s)")
    args = args.parse_args()
    n = args.films
    with tempfile.TemporaryDirectory() as d:
        with timed(f"make a manifest and {n} empty films"): path = manifest(Path(d), n)
        with timed("read_manifest"): df = read_manifest(path)
        with timed("check_manifest and format_check"): format_check(check_manifest(df))
        with timed("allow_licenses"): assert len(allow_licenses(df, "CC0-1.0")[0]) == (n + 1) // 3
    with tempfile.TemporaryDirectory() as d:
        with timed(f"make a collection of {n} films"): nih(Path(d), n)
        with timed("build_manifest"): built = build_manifest(d)
        print(f"{len(built.films)} films, {len(built.left_out)} left out")
    print(f"{headers_a_second(args.headers):.0f} DICOM headers a second")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB")


if __name__ == "__main__": main()
