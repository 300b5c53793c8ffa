"""A wall of damaged and hostile films: each gives an array or one `InputError`, soon, and none takes a gigabyte.

The inputs are made here. A child process reads them (`python tests/test_hostile.py FOLDER`), so that its peak memory is its own and a decoder that crashes is a failure and no end of the tests.
"""
import io
import json
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30
SECONDS = 30  # for one input; the slowest takes two on an idle core
FILM = (np.add.outer(np.arange(96), np.arange(128)) * 8 + np.random.default_rng(0).integers(0, 64, (96, 128))).astype(np.uint16)  # 0 to 1,839: 11 bits


# Whole files of each kind

def saved(pixels, fmt, **kw) -> bytes:
    Image.fromarray(pixels).save(buffer := io.BytesIO(), fmt, **kw)
    return buffer.getvalue()


def dicom(pixels=FILM, bits=12, syntax="1.2.840.10008.1.2.1", frame=None, meta=True, **elements) -> bytes:
    "A CR film of the chest; `frame` is a codestream in place of the pixels, `meta=False` leaves preamble and meta information out."
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    ds = FileDataset(None, {}, file_meta=FileMetaDataset(), preamble=bytes(128) if meta else None)
    for name, value in (dict(SOPClassUID="1.2.840.10008.5.1.4.1.1.1", SOPInstanceUID="1.2.3", Modality="CR", PatientName="Doe^Jane", BodyPartExamined="CHEST", Rows=pixels.shape[0], Columns=pixels.shape[1],
            SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME1", BitsAllocated=pixels.itemsize * 8, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=0, WindowCenter=1000, WindowWidth=2000,
            PixelData=pixels.tobytes()) | elements).items():
        if value is not None: setattr(ds, name, value)
    if meta: ds.file_meta.TransferSyntaxUID = syntax
    if frame is not None:
        ds.PixelData = encapsulate([frame])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.save_as(buffer := io.BytesIO(), **dict(enforce_file_format=True) if meta else dict(implicit_vr=True, little_endian=True, enforce_file_format=False))
    return buffer.getvalue()


def compressed(syntax, **kw) -> bytes:
    "A film that pydicom compresses."
    from pydicom import dcmread
    ds = dcmread(io.BytesIO(dicom(**kw)))
    ds.compress(syntax)
    ds.save_as(buffer := io.BytesIO())
    return buffer.getvalue()


JPEG_BASELINE, RLE, JPEG_2000, JPEG_LS, LOSSLESS, DEFLATED = ("1.2.840.10008.1.2." + s for s in ("4.50", "5", "4.90", "4.80", "4.70", "1.99"))


def jpeg_ls() -> bytes:
    "A film in JPEG-LS, which nothing here can write: an example of pydicom's, called a chest film."
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    ds = dcmread(get_testdata_file("MR_small_jpeg_ls_lossless.dcm"))
    ds.Modality, ds.BodyPartExamined = "CR", "CHEST"
    ds.save_as(buffer := io.BytesIO())
    return buffer.getvalue()


def seeds() -> dict:
    "Name -> bytes of whole films, one of each kind."
    gray = (FILM // 8).astype(np.uint8)
    colour = np.dstack([gray] * 3)
    return {"gray.png": saved(gray, "PNG"), "deep.png": saved(FILM, "PNG"), "rgb16.png": png(16, 2, np.dstack([FILM] * 3)), "la16.png": png(16, 4, np.dstack([FILM] * 2)), "rgba.png": saved(np.dstack([colour, gray]), "PNG"),
        "gray.jpg": saved(gray, "JPEG"), "progressive.jpg": saved(colour, "JPEG", progressive=True), "gray.tif": saved(gray, "TIFF"), "lzw.tif": saved(FILM, "TIFF", compression="tiff_lzw"),
        "float.tif": saved(FILM.astype(np.float32), "TIFF", compression="tiff_adobe_deflate"), "gray.bmp": saved(gray, "BMP"), "gray.webp": saved(colour, "WEBP"), "lossless.webp": saved(colour, "WEBP", lossless=True),
        "native.dcm": dicom(), "bare.dcm": dicom(meta=False), "padded.dcm": dicom(PixelPaddingValue=0, WindowCenter=None, WindowWidth=None),
        "deflated.dcm": dicom(syntax=DEFLATED), "rle.dcm": compressed(RLE), "j2k.dcm": compressed(JPEG_2000), "jpeg.dcm": dicom(gray, 8, JPEG_BASELINE, saved(gray, "JPEG")), "jls.dcm": jpeg_ls()}


# Files that claim, repeat or unfold

def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits, colour, pixels=None, size=None, data=None) -> bytes:
    "A PNG with this header around pixels, or around data that is given."
    height, width = size or pixels.shape[:2]
    data = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zeros(megabytes, wbits=15, before=b"") -> bytes:
    "Deflated zeros, with some bytes before them: a thousandth of their size."
    z = zlib.compressobj(wbits=wbits)
    return z.compress(before) + b"".join(z.compress(bytes(2**20)) for _ in range(megabytes)) + z.flush()


def patched(data, marker, offset, new) -> bytes:
    "Bytes with others at an offset behind a marker."
    at = data.index(marker) + offset
    return data[:at] + new + data[at + len(new):]


def tiff(*entries, data=b"") -> bytes:
    "A TIFF of these entries (tag, type, count, value), with data at its end."
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4) + data


def bombs() -> dict:
    "Name -> bytes of small files that would be large, endless or deep."
    gray = (FILM // 8).astype(np.uint8)
    jpeg, j2k = saved(gray, "JPEG"), saved(gray, "JPEG2000", no_jp2=True)
    frame = lambda stream, syntax, **kw: dicom(gray, 8, syntax, stream, **kw)
    meta = dicom(syntax=DEFLATED)[:132 + 12 + struct.unpack("<I", dicom(syntax=DEFLATED)[140:144])[0]]
    bare = struct.pack("<HHI", 8, 0, 4) + bytes(4)
    line = lambda n: b"\0" + np.random.default_rng(0).bytes(n)
    spot = np.zeros((6300, 6300), np.float32)
    spot[:9] = 1
    sequence, item = struct.pack("<HHI", 8, 0x1140, 0xFFFFFFFF), struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    size = lambda w, h, *more: [(256, 4, 1, w), (257, 4, 1, h), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, h), (279, 4, 1, 100), *more]
    return {
        "claims.png": png(8, 0, size=(60000, 60000), data=b""), "gigapixel.png": png(1, 0, size=(30000, 40000), data=zeros(143)), "most.png": png(16, 6, size=(6000, 6600), data=zeros(303, before=line(6000 * 8))),
        "deep.png": png(16, 0, size=(6300, 6300), data=zeros(76, before=line(6300 * 2))), "text.png": saved(gray, "PNG")[:33] + chunk(b"zTXt", b"a\0\0" + zeros(200)) + saved(gray, "PNG")[33:], "none.png": png(8, 0, size=(0, 0), data=b""),
        "icc.png": saved(gray, "PNG")[:33] + chunk(b"iCCP", b"a\0\0" + zeros(200)) + saved(gray, "PNG")[33:], "chunks.png": saved(gray, "PNG")[:33] + chunk(b"aaAa", b"") * 200_000 + saved(gray, "PNG")[33:],
        "claims.jpg": patched(jpeg, b"\xff\xc0", 5, struct.pack(">HH", 65535, 65535)), "flat.jpg": patched(jpeg, b"\xff\xc0", 5, struct.pack(">HH", 0, 0)), "twice.jpg": jpeg[:2] + jpeg[jpeg.index(b"\xff\xc0"):][:19] * 3 + jpeg[2:],
        "claims.tif": tiff(*size(60000, 60000)), "most.tif": tiff(*size(6000, 6600, (339, 3, 1, 3))), "floats.tif": saved(spot, "TIFF", compression="tiff_adobe_deflate"), "integers.tif": saved(spot.astype(np.int32), "TIFF", compression="tiff_adobe_deflate"), "none.tif": tiff(*size(0, 0)), "loop.tif": b"II*\0" + struct.pack("<IHI", 8, 0, 8),
        "pages.tif": saved(gray, "TIFF", save_all=True, append_images=[Image.fromarray(gray)] * 300), "nan.tif": saved(np.where(FILM > 900, np.nan, FILM).astype(np.float32), "TIFF"),
        "infinite.tif": saved(np.where(FILM > 900, np.inf, FILM).astype(np.float32), "TIFF"), "largest.tif": saved(np.where(FILM > 900, 3e38, -3e38).astype(np.float32), "TIFF"),
        "claims.bmp": patched(saved(gray, "BMP"), b"BM", 18, struct.pack("<ii", 60000, 60000)), "upside.bmp": patched(saved(gray, "BMP"), b"BM", 22, struct.pack("<i", -(2**31))),
        "claims.webp": patched(saved(gray, "WEBP"), b"VP8 ", 14, struct.pack("<HH", 16383, 16383)), "claims.dcm": dicom(Rows=60000, Columns=60000), "none.dcm": dicom(Rows=0, Columns=0), "short.dcm": dicom(Rows=6000, Columns=6000),
        "most.dcm": dicom(np.tile(FILM, (65, 49))), "most2.dcm": dicom(np.tile(FILM, (65, 49)), WindowWidth=None, WindowCenter=None, PixelPaddingValue=0), "rlemost.dcm": dicom(np.zeros((64, 64), np.uint16), 12, RLE,
            struct.pack("<16I", 2, 64, 500_064, *[0] * 13) + b"\x81\0" * 500_000, Rows=6000, Columns=6000),
        "jpegclaims.dcm": frame(patched(jpeg, b"\xff\xc0", 5, struct.pack(">HH", 60000, 60000)), JPEG_BASELINE), "jpegtwo.dcm": frame(jpeg[:2] + jpeg[jpeg.index(b"\xff\xc0"):][:19] + jpeg[2:], JPEG_BASELINE),
        "losslessclaims.dcm": frame(patched(jpeg, b"\xff\xc0", 5, struct.pack(">HH", 60000, 60000)), LOSSLESS), "asjls.dcm": frame(jpeg, JPEG_LS), "aslossless.dcm": frame(jpeg, LOSSLESS), "asj2k.dcm": frame(jpeg, JPEG_2000),
        "j2kclaims.dcm": frame(patched(j2k, b"\xff\x51", 6, struct.pack(">II", 60000, 60000)), JPEG_2000), "j2ktiles.dcm": frame(patched(j2k, b"\xff\x51", 22, struct.pack(">II", 1, 1)), JPEG_2000),
        "rle.dcm": dicom(FILM, 12, RLE, struct.pack("<16I", 2, 64, 5064, *[0] * 13) + b"\x81\0" * 500_000), "rlezero.dcm": dicom(FILM, 12, RLE, bytes(64)), "rleseg.dcm": dicom(FILM, 12, RLE, b"\xff" * 640),
        "deflated.dcm": meta + zeros(600, -15), "items.dcm": bare + sequence + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 700_000, "deep.dcm": bare + (sequence + item) * 20_000, "tags.dcm": bare + struct.pack("<HHI", 8, 8, 0) * 700_000,
        "long.dcm": bare + struct.pack("<HHI", 8, 0x60, 0xFFFFFFF0) + b"CR" * 99, "frames.dcm": dicom(NumberOfFrames=2**31 - 1), "window.dcm": dicom(WindowWidth=0), "window2.dcm": dicom(WindowWidth="1e308", WindowCenter="-1e308"),
        "slope.dcm": dicom(RescaleSlope=0, RescaleIntercept=0), "slope2.dcm": dicom(RescaleSlope="1e300", RescaleIntercept="1e300", WindowWidth=None, WindowCenter=None), "bits.dcm": dicom(BitsStored=0), "bits2.dcm": dicom(BitsAllocated=64, BitsStored=64),
        "padding.dcm": dicom(PixelPaddingValue=0, PixelPaddingRangeLimit=65535, WindowWidth=None, WindowCenter=None), "nopixels.dcm": dicom(PixelData=None), "syntax.dcm": dicom(syntax="1.2.3.4"),
    }


def others() -> dict:
    "Name -> bytes of what is no film, or has another name."
    return {"empty.png": b"", "empty.dcm": b"", "byte.dcm": b"\x08", "zeros.dcm": bytes(4096), "zeros.png": bytes(4096), "ones.tif": b"\xff" * 4096, "noise.jpg": np.random.default_rng(0).bytes(4096), "page.png": b"<html>404</html>",
        "dicm.dcm": bytes(128) + b"DICM", "magic.png": b"\x89PNG\r\n\x1a\n", "magic.jpg": b"\xff\xd8\xff", "magic.tif": b"II*\0", "magic.webp": b"RIFF\0\0\0\0WEBP", "magic.bmp": b"BM", "zip.png": b"PK\x03\x04" + bytes(99),
        "film.gif": saved((FILM // 8).astype(np.uint8), "GIF"), "film.jp2": saved((FILM // 8).astype(np.uint8), "JPEG2000"), "jpeg.png": seeds()["gray.jpg"], "dicom.jpg": seeds()["native.dcm"], "csv.png": b"filename,label\n" * 99,
        "both.png": seeds()["gray.png"] + seeds()["native.dcm"], "dicm.jpg": seeds()["gray.jpg"][:128] + b"DICM" + seeds()["gray.jpg"][132:]}


def damaged() -> dict:
    "Name -> bytes of whole films cut off at every tenth, with bytes flipped, and with zeros in place of their second half."
    out, draw = {}, np.random.default_rng(0)
    for name, data in seeds().items():
        out |= {f"cut{tenth}_{name}": data[:len(data) * tenth // 10] for tenth in range(1, 10)}
        out[f"half_{name}"] = data[:len(data) // 2] + bytes(len(data) - len(data) // 2)
        for n in range(4):
            flipped = bytearray(data)
            for at in draw.integers(0, len(data), 8): flipped[at] ^= int(draw.integers(1, 256))
            out[f"flip{n}_{name}"] = bytes(flipped)
    return out


# The child

def read(path) -> dict:
    "What reading a file comes to."
    from covid_fastai.core import InputError
    from covid_fastai.radiograph import read_radiograph
    start = time.monotonic()
    try: film, said = read_radiograph(path), ""
    except InputError as e: film, said = None, str(e)
    except Exception as e: film, said = None, f"TRACEBACK {type(e).__name__}: {e}"
    good = said if film is None else film.dtype == np.uint8 and film.ndim == 2 and film.size > 0
    return dict(name=path.name, seconds=round(time.monotonic() - start, 2), read=film is not None, said=said, good=bool(good))


def main(folder):
    "Read all files of a folder; a JSON line for each, and last the peak memory in bytes."
    warnings.simplefilter("ignore")
    for path in sorted(Path(folder).iterdir()): print(json.dumps(read(path)), flush=True)
    print(json.dumps(dict(peak=peak_bytes())))


def peak_bytes() -> int:
    "The most memory that this process has held; Linux's own count, because `ru_maxrss` may be that of the process which started this one."
    status = Path("/proc/self/status")
    if status.is_file(): return 1024 * int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# The tests

@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    "Every hostile file with what became of it, and the peak memory of reading them all."
    pytest.importorskip("pydicom")
    if sys.platform == "win32": pytest.skip("the peak of a process's memory is not measured on Windows")
    folder = tmp_path_factory.mktemp("wall")
    for name, data in (seeds() | {f"bomb_{n}": d for n, d in bombs().items()} | {f"other_{n}": d for n, d in others().items()} | damaged()).items(): (folder/name).write_bytes(data)
    done = subprocess.run([sys.executable, __file__, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, f"the reader died with {done.returncode} after {done.stdout.splitlines()[-1:]}\n{done.stderr[-2000:]}"
    *rows, last = map(json.loads, done.stdout.splitlines())
    return {row["name"]: row for row in rows}, last["peak"]


def test_whole_films_are_read(wall): assert [n for n in seeds() if not wall[0][n]["read"]] == []


def test_the_wall_is_high(wall): assert len(wall[0]) - len(seeds()) >= 60


def test_each_is_an_array_or_one_line(wall):
    assert [r for r in wall[0].values() if not r["good"] or "TRACEBACK" in r["said"] or "\n" in r["said"] or len(r["said"]) > 500] == []


def test_a_refusal_names_the_file(wall): assert [r for r in wall[0].values() if not r["read"] and r["name"] not in r["said"]] == []
def test_none_hangs(wall): assert [r for r in wall[0].values() if r["seconds"] > SECONDS] == []
def test_none_takes_a_gigabyte(wall): assert wall[1] < GIB, f"{wall[1] / 2**20:.0f} MiB"


def test_cut_films_are_refused(wall):
    assert [r["name"] for r in wall[0].values() if r["name"].startswith("cut") and r["read"]] == []


def test_bombs_are_refused(wall):
    "Those that hold what they claim are read: the largest films that are allowed, and JPEG under the name of another JPEG."
    allowed = {"most.png", "deep.png", "most.dcm", "most2.dcm", "chunks.png", "window.dcm", "largest.tif", "floats.tif", "integers.tif", "asjls.dcm", "aslossless.dcm"}
    assert [r["name"] for r in wall[0].values() if r["name"].startswith("bomb_") and r["read"] and r["name"].removeprefix("bomb_") not in allowed] == []


if __name__ == "__main__": main(sys.argv[1])
