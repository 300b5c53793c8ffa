"Tables that nobody should have to read: each is read, or refused in one clear line, without a traceback and in little memory."
import os
import subprocess
import sys
from pathlib import Path

import pytest

from covid_fastai.core import InputError, write_csv
from covid_fastai.findings import clean_age
from covid_fastai.layouts import LAYOUTS, build_manifest, format_built, guess_layout
from covid_fastai.licenses import allow_licenses
from covid_fastai.manifest import check_manifest, format_check, read_manifest

GOOD = b"filename,label,age\na.png,covid,58\n"
BAD = {  # Name -> bytes of a manifest, and words of the message; "" where it is read
    "no bytes": (b"", "is empty"),
    "header only": (b"filename,label\n", "has a header but no row"),
    "blank lines": (b"\n\n\n", "is empty"),
    "a million columns": (b"filename,label," + b"c," * 1_000_000 + b"\na.png,covid\n", "more than 1000 columns"),
    "a million cells in a row": (b"filename,label\na.png,covid" + b"," * 1_000_000 + b"\n", "more than 1000 columns"),
    "a header without an end": (b"x" * 5_000_000, "column name of 64000 characters"),
    "a column twice": (b"filename,label,label\na.png,covid,normal\n", "column label twice"),
    "a column twice, quoted": (b'filename,"label","label"\na.png,covid,normal\n', "column label twice"),
    "a quote that is not closed": (b'filename,label\n"a.png,covid\n' + b"b.png,normal\n" * 100_000, "is not a readable CSV"),
    "a quote that swallows rows": (b'filename,label,x\n"a.png,covid,1\nb.png,covid,"2\n', "unknown label ''"),
    "a formula": (b"filename,label,note\na.png,covid,=cmd|' /C calc'!A0\n", "run as a formula in 1 row (2)"),
    "a formula behind a tab": (b"filename,label,note\na.png,covid,\t=1+1\n", "run as a formula in 1 row (2)"),
    "a formula as file": (b"filename,label\n=1+1,covid\n", "run as a formula in 1 row (2)"),
    "a minus that is a number": (b"filename,label,offset\na.png,covid,-3\n", ""),
    "Latin-1": ("filename,label\nKöln.png,covid\n".encode("latin-1"), "expected comma-separated UTF-8 text"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "is not UTF-8 text (UTF-16?)"),
    "UTF-16 without mark": (GOOD.decode().encode("utf-16-be"), "is not UTF-8 text (UTF-16?)"),
    "UTF-32": (GOOD.decode().encode("utf-32"), "is not UTF-8 text"),
    "UTF-8 with mark": (b"\xef\xbb\xbf" + GOOD, ""),
    "Windows line ends": (GOOD.replace(b"\n", b"\r\n"), ""),
    "old Mac line ends": (GOOD.replace(b"\n", b"\r") + b",,\r" * 2000, "no filename in 2000 rows"),
    "semicolons": (GOOD.replace(b",", b";"), "has no column filename, label"),
    "tabs": (GOOD.replace(b",", b"\t"), "has no column filename, label"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "is not a readable CSV"),
    "a workbook": (b"PK\x03\x04\x14\0\6\0" + bytes(500), "is not UTF-8 text"),
    "JSON": (b'[{"filename": "a.png"}]', "has no column"),
    "HTML": (b"<!DOCTYPE html>\n<html></html>\n", "has no column filename"),
    "a zero byte in a name": (b"filename,label\na.p\0ng,covid\n", "films are missing"),
    "a name of ten million letters": (b"filename,label\n" + b"a" * 10_000_000 + b",covid\n", "films are missing: aaa"),
    "a name that leads out": (b"filename,label\n../../a.png,covid\n", "leads out of the manifest's folders"),
    "an absolute name": (b"filename,label\n/etc/passwd,covid\n", "leads out of the manifest's folders"),
    "a folder as film": (b"filename,label\n.,covid\n", "leads out of the manifest's folders"),
    "not a number of years": (b"filename,label,age\na.png,covid,NaN\n", ""),
    "no label": (b"filename,label\na.png,\n", "unknown label ''"),
    "the same film twice": (b"filename,label\na.png,covid\n./a.png,normal\n", "the same film in 2 rows (2, 3)"),
}
TABLES = {"cohen": "metadata.csv", "nih": "Data_Entry_2017.csv", "rsna": "stage_2_train_labels.csv", "siim": "train_study_level.csv", "covidx": "train.txt", "radiography": "COVID.metadata.csv", "csv": "m.csv"}
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")  # The beginning of one


def message(call):
    "What an `InputError` says; nothing where there is none."
    try: call()
    except InputError as e: return str(e)
    return ""


@pytest.fixture
def folder(tmp_path):
    (tmp_path/"a.png").write_bytes(PNG)
    return tmp_path


@pytest.mark.parametrize("name", BAD)
def test_a_bad_manifest_is_one_clear_line(folder, name):
    data, words = BAD[name]
    (folder/"m.csv").write_bytes(data)
    said = message(lambda: read_manifest(folder/"m.csv"))
    assert words in said and bool(words) == bool(said) and "\n" not in said and len(said) < 1000, said[:2000]


@pytest.mark.parametrize("layout", TABLES)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_of_a_collection_is_one_clear_line(folder, layout, name):
    "A reader gets the same bytes as its table; beside them lies all that makes the layout."
    if layout == "siim": (folder/"train_image_level.csv").write_text("id,StudyInstanceUID\na_image,s\n")
    (folder/"COVID"/"images").mkdir(parents=True)
    (folder/"COVID"/"images"/"b.png").write_bytes(PNG)
    (folder/TABLES[layout]).write_bytes(BAD[name][0])
    said = message(lambda: build_manifest(folder, layout))
    assert said or layout == "csv"  # which leaves out the rows of a readable table instead
    assert "\n" not in said and len(said) < 2000, said[:3000]


def test_bad_tables_take_little_memory(tmp_path):
    "All of them in one process that holds pandas: below 1 GiB."
    code = ("import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from test_hostile import peak_bytes; from test_layouts import BAD, message; from covid_fastai.manifest import read_manifest\n"
        "f = Path(sys.argv[2])/'m.csv'\nfor data, _ in BAD.values(): f.write_bytes(data); message(lambda: read_manifest(f))\n"
        "print(peak_bytes())")
    p = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert p.returncode == 0, p.stderr[-2000:]
    assert int(p.stdout) < 2**30


# Trees that are laid to mislead

def tables(folder, **texts):
    for name, text in texts.items(): (folder/name.replace("__", ".")).write_text(text)


def test_links_lead_nowhere(folder):
    "A link that leads back up ends; a dangling one is no film."
    (folder/"COVID").mkdir()
    (folder/"COVID"/"a.png").write_bytes(PNG)
    (folder/"COVID"/"up").symlink_to(folder)
    (folder/"COVID"/"gone.png").symlink_to(folder/"none.png")
    assert build_manifest(folder, "folders").films["filename"].tolist() == ["COVID/a.png"]


def test_a_film_in_another_folder_is_not_taken(folder):
    "The table names `2/a.png`; `1/a.png` has the same name and is another patient."
    for place in ("1", "3"):
        (folder/place).mkdir()
        (folder/place/"a.png").write_bytes(PNG)
    tables(folder, m__csv="filename,label\n2/a.png,covid\n3/a.png,normal\na.png,normal\n")
    built = build_manifest(folder, "csv")
    assert built.films["filename"].tolist() == ["3/a.png", "a.png"]
    assert built.left_out["reason"].tolist() == ["no such file below the folder"]


def test_of_several_files_none_is_guessed(folder):
    (folder/"a.png").unlink()
    for place in ("1", "3"):
        (folder/place).mkdir()
        (folder/place/"a.png").write_bytes(PNG)
    tables(folder, m__csv="filename,label\na.png,covid\n1/a.png,normal\n")
    assert build_manifest(folder, "csv").left_out["reason"].tolist() == ["2 files of this name: 1/a.png, 3/a.png"]


def test_every_record_is_a_film_or_has_a_reason(folder):
    "200 rows of every kind: none is lost, each once."
    findings = ["COVID-19", "No Finding", "Lupus", "", "ARDS"]
    (folder/"metadata.csv").write_text("patientid,finding,view,modality,age,filename\n" + "".join(
        f"{i},{findings[i % 5]},{('PA', 'L', 'AP', 'Axial')[i % 4]},{('X-ray', 'CT')[i % 7 == 0]},{(58, 148, 'NaN')[i % 3]},{i}.png\n" for i in range(200)))
    for i in range(0, 200, 2): (folder/f"{i}.png").write_bytes(PNG)
    built = build_manifest(folder)
    films = built.films["filename"].str.removesuffix(".png").astype(int)
    good = [i for i in range(200) if findings[i % 5] in ("COVID-19", "No Finding") and i % 4 in (0, 2) and i % 7 and i % 2 == 0]
    assert films.tolist() == good and len(built.films) + len(built.left_out) == 200
    assert (built.left_out["reason"] != "").all() and built.left_out["row"].is_unique
    assert set(built.notes["row"]) == {str(i + 2) for i in good if i % 3 == 1}
    assert built.films["age"].tolist() == ["58" if i % 3 == 0 else "" for i in good]
    assert len(format_built(built, 5).splitlines()) < 30


def test_a_manifest_goes_from_the_collection_to_the_gate(folder):
    "Build, write, read, check, gate: what the command line does."
    (folder/"metadata.csv").write_text("filename,finding,view,license\na.png,COVID-19,PA,CC BY 4.0\nb.png,SARS,AP,\n")
    (folder/"b.png").write_bytes(PNG)
    write_csv(folder/"out"/"m.csv", build_manifest(folder).films)
    films = read_manifest(folder/"out"/"m.csv", root=folder)
    text = format_check(check_manifest(films))
    assert "CC-BY-4.0" in text and "@article{cohen2020covid," in text and "Films without a stated licence: 1 of 2" in text
    stay, gone = allow_licenses(films, "CC BY 4.0")
    assert (stay["filename"].tolist(), gone["reason"].tolist()) == (["a.png"], ["licence unspecified is not allowed"])


def test_every_layout_is_recognised_or_is_the_last_guess(tmp_path):
    for name, layout in LAYOUTS.items():
        for n, sign in enumerate(layout.signs):
            path = tmp_path/f"{name}{n}"/"unpacked"/sign.replace("*", "x")
            path.parent.mkdir(parents=True)
            path.mkdir() if "." not in sign else path.touch()
            assert guess_layout(tmp_path/f"{name}{n}") == (name, tmp_path/f"{name}{n}"/"unpacked")


@pytest.mark.parametrize("text", ["", "58", "1e999", "-0", "٣٠", "0x10", "58\n", "nan", "9" * 10_000, "=1"])
def test_no_age_is_a_surprise(text):
    years, note = clean_age(text)
    assert years == "" or 0 <= int(years) <= 100
    assert len(note) < 200 and "\n" not in note
