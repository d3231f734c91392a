"""Batches: what is read, what is refused before it is, and the table that comes out."""

import csv
import io
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fer_models import batch
from fer_models.analysis import Analysis, Analyzer, FaceResult, GradCam, NetworkResult
from fer_models.batch import (
    BatchError,
    Limits,
    PictureResult,
    Problem,
    Tally,
    analyze_pictures,
    batch_report,
    draw_mean,
    draw_mean_heatmaps,
    list_pictures,
    open_table,
    plain_cell,
    read_pictures,
    usable_networks,
)
from fer_models.checkpoints import CheckpointError
from fer_models.engines import Runner
from fer_models.faces import Face
from fer_models.words import LANGUAGES, load_words
from tests.conftest import EXAMPLE, SHIPPED

WORDS = load_words("en")


def picture(side: int = 8, shade: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def write_zip(file: Path, entries: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file


def reasons(problems) -> dict[str, str]:
    return {problem.name: problem.key for problem in problems}


@pytest.mark.hostile
def test_a_zip_gives_its_pictures_and_names_everything_else(tmp_path):
    file = write_zip(
        tmp_path / "mixed.zip",
        {
            "faces/one.png": picture(),
            "two.JPG": picture(),
            "notes.txt": b"x",
            "inner.zip": b"PK",
            "../out.png": picture(),
            "/root.png": picture(),
            "C:\\windows.png": picture(),
            "a\\..\\..\\b.png": picture(),
            "bomb.png": bytes(3_000_000),
            "__MACOSX/faces/._one.png": b"x",
            ".DS_Store": b"x",
        },
    )
    before = sorted(tmp_path.iterdir())
    listing = list_pictures([file])
    assert [p.name for p in listing.pictures] == ["faces/one.png", "two.JPG"]
    assert reasons(listing.problems) == {
        "notes.txt": "batch.no_picture",
        "inner.zip": "batch.nested_zip",
        "../out.png": "batch.unsafe_name",
        "/root.png": "batch.unsafe_name",
        "C:\\windows.png": "batch.unsafe_name",
        "a\\..\\..\\b.png": "batch.unsafe_name",
        "bomb.png": "batch.bomb",
    }
    for language in LANGUAGES:
        for problem in listing.problems:
            assert problem.name in problem.text(load_words(language))
    assert [image.shape for _, image in read_pictures(listing.pictures)] == [(8, 8, 3)] * 2
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_is_read_with_its_folders_in_order_of_name(tmp_path):
    for name in ("b/2.png", "a/1.png", ".hidden/3.png", "notes.csv", "z.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture())
    listing = list_pictures([tmp_path])
    assert [p.name for p in listing.pictures] == ["a/1.png", "b/2.png"]
    assert set(reasons(listing.problems)) == {"notes.csv", "z.zip"}


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("limits", "key"),
    [(Limits(2, None), "batch.too_many"), (Limits(None, 1), "batch.too_large")],
)
def test_too_much_is_refused_before_anything_is_decoded(tmp_path, limits, key, monkeypatch):
    noise = np.random.default_rng(0).bytes(400_000)
    file = write_zip(tmp_path / "many.zip", {f"{n}.png": noise for n in range(3)})
    monkeypatch.setattr(batch, "load_image", None)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(BatchError, match="Nothing was read") as refused:
        list_pictures([file], limits)
    assert refused.value.problem.key == key
    assert len(list_pictures([file], Limits(3, 2)).pictures) == 3


@pytest.mark.hostile
def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_said(tmp_path):
    """The list says 1,000 bytes where 5,000,000 are packed: neither memory nor disk fills."""
    file = write_zip(tmp_path / "liar.zip", {"a.png": bytes(5_000_000)})
    content = bytearray(file.read_bytes())
    place = content.index(struct.pack("<I", 5_000_000), content.index(b"PK\x01\x02"))
    content[place : place + 4] = struct.pack("<I", 1000)
    file.write_bytes(content)
    listing = list_pictures([file])
    assert len(listing.pictures) == 1
    (_, problem), *_ = read_pictures(listing.pictures)
    assert problem.key == "batch.damaged_entry"


@pytest.mark.hostile
def test_a_list_of_contents_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    file = write_zip(tmp_path / "long.zip", {f"{n:060}.png": b"" for n in range(20)})
    monkeypatch.setattr(batch, "MAX_ZIP_LIST_BYTES", 1000)
    with pytest.raises(BatchError, match="list of contents"):
        list_pictures([file])


@pytest.mark.hostile
def test_damaged_locked_and_oddly_packed_entries_are_named_and_stop_nothing(tmp_path):
    file = write_zip(
        tmp_path / "bad.zip",
        {"locked.png": picture(), "torn.png": picture(), "fine.png": picture()},
    )
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of a password
    torn = content.index(b"torn.png") + len("torn.png")
    content[torn + 3] ^= 0xFF
    file.write_bytes(content)
    listing = list_pictures([file])
    assert reasons(listing.problems) == {"locked.png": "batch.encrypted"}
    results = dict((p.name, r) for p, r in read_pictures(listing.pictures))
    assert results["torn.png"].key == "batch.damaged_entry"
    assert results["fine.png"].shape == (8, 8, 3)
    packed = write_zip(tmp_path / "lzma.zip", {"a.png": picture()}, zipfile.ZIP_LZMA)
    assert reasons(list_pictures([packed]).problems) == {"a.png": "batch.unknown_packing"}


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_zip_is_refused_by_name(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BatchError, match="x.zip: not a zip"):
        list_pictures([tmp_path / "x.zip"])
    with pytest.raises(BatchError, match="gone.zip: no such file"):
        list_pictures([tmp_path / "gone.zip"])


def test_names_that_do_not_say_their_encoding_are_read_as_told(tmp_path):
    """macOS writes UTF-8 and Chinese Windows GBK, and neither says so."""
    for encoding, encodings in (("utf-8", ("utf-8",)), ("gbk", ("utf-8", "gb18030"))):
        raw = "高兴.png".encode(encoding)
        file = write_zip(tmp_path / "names.zip", {"x" * (len(raw) - 4) + ".png": picture()})
        file.write_bytes(file.read_bytes().replace(b"x" * (len(raw) - 4) + b".png", raw))
        assert [p.name for p in list_pictures([file], name_encodings=encodings).pictures] == [
            "高兴.png"
        ]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1.png", "./=1+1.png"),
        ("+a.png", "./+a.png"),
        ("-a.png", "./-a.png"),
        ("@a.png", "./@a.png"),
        ("\t=a.png", "./\t=a.png"),
        (" =a.png", "./ =a.png"),
        ("＝a.png", "./＝a.png"),
        ("a=b.png", "a=b.png"),
        ("高兴.png", "高兴.png"),
    ],
)
def test_a_name_cannot_become_a_formula(name, cell):
    assert plain_cell(name) == cell


LABELS = {"one": ("neutral", "happiness"), "two": ("neutral", "happiness")}


def result(name: str, answers: dict[str, tuple[str, float]], bright: int, shade: int):
    """A picture with one grey face, on which each network's map has a single bright cell."""
    networks = {}
    for network, (expression, probability) in answers.items():
        values = np.full((7, 7), -1.0)
        values[bright // 7, bright % 7] = 5.0 * (1 + bright)
        other = "neutral" if expression == "happiness" else "happiness"
        networks[network] = NetworkResult(
            expression,
            {expression: probability, other: 1 - probability},
            GradCam(expression, values),
            None,
            0.0,
        )
    face = Face((1.0, 2.0, 30.5, 40.25), np.zeros((5, 2)), 0.98765)
    crop = np.full((112, 112, 3), shade, np.uint8)
    return PictureResult(name, Analysis([FaceResult(face, crop, networks)]))


RESULTS = [
    result("=a,b;=c.png", {"one": ("happiness", 0.9), "two": ("happiness", 0.8)}, 0, 10),
    result("高\n兴.png", {"one": ("happiness", 0.7), "two": ("neutral", 0.52)}, 8, 40),
    PictureResult("none.png", Analysis([])),
    PictureResult("bad.png", problem=Problem("bad.png", "images.unreadable")),
]


def write_table(file: Path) -> None:
    with open_table(file, LABELS) as table:
        for one in RESULTS:
            table.add(one)


def test_the_table_has_a_row_a_face_and_every_number(tmp_path):
    write_table(tmp_path / "faces.csv")
    content = (tmp_path / "faces.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")  # the mark by which Excel knows UTF-8
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [row["file"] for row in rows] == ["./=a,b;=c.png", "高\n兴.png"]
    assert rows[0] == {
        "file": "./=a,b;=c.png",
        "face": "1",
        "left": "1.0",
        "top": "2.0",
        "right": "30.5",
        "bottom": "40.25",
        "score": "0.9877",
        "source": "detected",
        "one_answer": "happiness",
        "one_probability": "0.9",
        "one_margin": "0.8",
        "one_p_neutral": "0.1",
        "one_p_happiness": "0.9",
        "two_answer": "happiness",
        "two_probability": "0.8",
        "two_margin": "0.6",
        "two_p_neutral": "0.2",
        "two_p_happiness": "0.8",
    }
    # Where a semicolon parts the cells, the name's own does not begin a formula.
    line = content.decode("utf-8-sig").split("\r\n")[1]
    assert next(csv.reader([line], delimiter=";"))[0].startswith("./=a,b;=c.png")


def test_a_network_that_went_meanwhile_leaves_its_cells_empty(tmp_path):
    with open_table(tmp_path / "faces.csv", LABELS) as table:
        table.add(result("a.png", {"two": ("happiness", 0.8)}, 0, 10))
    (row,) = csv.DictReader((tmp_path / "faces.csv").open(encoding="utf-8-sig"))
    assert row["one_answer"] == row["one_p_happiness"] == ""
    assert (row["two_answer"], row["two_p_happiness"]) == ("happiness", "0.8")


def test_a_broken_off_table_leaves_the_old_file_as_it_was(tmp_path):
    file = tmp_path / "faces.csv"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), open_table(file, LABELS) as table:
        table.add(RESULTS[0])
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["faces.csv"]


@pytest.fixture
def tally():
    made = Tally(LABELS, [Problem("notes.txt", "batch.no_picture")])
    for one in RESULTS:
        made.add(one)
    return made


def test_the_counts_add_up(tally):
    assert (tally.pictures, tally.faces, tally.faceless, tally.disagreements) == (3, 2, 1, 1)
    assert tally.answers == {
        "one": {"neutral": 0, "happiness": 2},
        "two": {"neutral": 1, "happiness": 1},
    }
    assert tally.unsure == {"one": 0, "two": 1}  # 0.52 leads 0.48 by less than 0.15
    assert [p.name for p in tally.problems] == ["notes.txt", "bad.png"]


def test_the_mean_map_is_the_mean_of_maps_over_their_own_maximum(tally):
    expected = np.zeros(49)
    expected[[0, 8]] = 0.5  # two faces, one bright cell each, whatever its value was
    np.testing.assert_allclose(tally.mean_map("one", "happiness").ravel(), expected)
    assert np.unique(tally.mean_face("one", "happiness")).tolist() == [25]
    assert tally.mean_map("one", "neutral") is None
    assert tally.mean_face("one", "neutral") is None
    assert draw_mean(tally, "one", "neutral") is None


def test_a_mean_is_drawn_on_the_scale_of_one(tally):
    alone = draw_mean(tally, "two", "happiness", strength=1.0)
    shared = draw_mean(tally, "one", "happiness", strength=1.0)
    assert alone[4, 4].sum() > shared[4, 4].sum() > shared[100, 100].sum()


def test_the_figure_has_a_cell_for_every_network_and_expression(tally):
    figure = draw_mean_heatmaps(tally)
    assert [axis.get_xlabel() for axis in figure.axes] == ["n = 0", "n = 2", "n = 1", "n = 1"]
    assert [len(axis.images) for axis in figure.axes] == [0, 1, 1, 1]


def test_the_sums_do_not_grow_with_the_pictures(tally):
    def size():
        return sum(a.nbytes for a in (*tally._maps.values(), *tally._crops.values()))

    before = size()
    for _ in range(50):
        tally.add(RESULTS[0])
    assert size() == before and tally.faces == 52


def test_a_photograph_in_a_zip_answers_as_by_itself(analyzer, tmp_path):
    file = write_zip(
        tmp_path / "p.zip",
        {"her.jpg": EXAMPLE.read_bytes(), "grey.png": picture(80), "no.jpg": b"x"},
    )
    labels, unavailable = usable_networks(analyzer)
    assert tuple(labels) == SHIPPED and not set(unavailable) & set(labels)
    zipped = list(analyze_pictures(analyzer, list_pictures([file]).pictures, networks=list(labels)))
    (alone,) = analyze_pictures(analyzer, list_pictures([EXAMPLE]).pictures, networks=list(labels))
    assert [len(r.analysis.faces) if r.analysis else None for r in zipped] == [1, 0, None]
    assert zipped[2].problem.text(WORDS).startswith("no.jpg: not a picture")
    for name in labels:
        one, other = (r.analysis.faces[0].networks[name] for r in (zipped[0], alone))
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_an_error_in_one_picture_is_named_and_the_next_is_read(tmp_path, monkeypatch):
    def search(image):
        if image[0, 0, 0] == 7:
            raise ValueError("The landmarks coincide.")
        return []

    monkeypatch.setattr(batch, "detect_faces", search)
    file = write_zip(tmp_path / "p.zip", {"a.png": picture(shade=7), "b.png": picture()})
    first, second = analyze_pictures(Analyzer(()), list_pictures([file]).pictures)
    assert first.problem.text(WORDS) == "a.png: The landmarks coincide."
    assert second.analysis.faces == []


class Toy(Analyzer):
    """An analyzer whose trunk and head work on each face by itself, to the last bit.

    Args:
        device: what the runner says it runs on.
        batch_faces: how many faces it takes at once.

    Attributes:
        runs: the number of faces in each run of the trunk.
    """

    def __init__(self, device: str = "cpu", batch_faces: int = 8):
        super().__init__(("mfn",), engine="torch")
        self.runs: list[int] = []
        head = torch.nn.Module()
        head.forward = lambda features: features[:, :8, 3, 3] * features[:, :8, 0, 6]

        def trunk(images: torch.Tensor) -> torch.Tensor:
            self.runs.append(len(images))
            grid = torch.linspace(0, 1, 8)[:, None, None]
            return images[:, :1, ::16, ::16][..., :7, :7] * 3 + grid

        self._runner = Runner(trunk, head, "torch", torch.device(device), batch_faces)

    def runner(self, name: str) -> Runner:
        return self._runner


@pytest.fixture
def crops(tmp_path) -> Path:
    """A zip of nine face crops, one of them torn, and a text."""
    noise = np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3), np.uint8)
    entries = {}
    for number, pixels in enumerate(noise):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        entries[f"{number}.png"] = buffer.getvalue()
    entries["4.png"] = entries["4.png"][:100]
    return write_zip(tmp_path / "crops.zip", entries)


def table_of(analyzer: Analyzer, file: Path, folder: Path) -> tuple[bytes, list[str]]:
    """The table as it is written, and the pictures with a problem."""
    labels, _ = usable_networks(analyzer)
    failed = []
    with open_table(folder / "faces.csv", labels) as table:
        for one in analyze_pictures(analyzer, list_pictures([file]).pictures, face_crop=True):
            table.add(one)
            failed += [one.name] if one.problem else []
    return (folder / "faces.csv").read_bytes(), failed


def test_on_a_gpu_faces_of_many_pictures_are_explained_at_once_with_the_same_table(
    crops, tmp_path, monkeypatch
):
    monkeypatch.setattr(batch, "READ_AHEAD_S", 60.0)
    alone, together = Toy("cpu"), Toy("cuda", batch_faces=3)
    expected = table_of(alone, crops, tmp_path)
    assert table_of(together, crops, tmp_path) == expected and expected[1] == ["4.png"]
    assert expected[0].count(b"\r\n") == 1 + 8
    assert alone.runs == [1] * 8
    assert together.runs == [1, 3, 3, 1]  # the first alone, since the networks load with it


def test_on_a_gpu_no_picture_waits_longer_than_a_moment(crops, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "READ_AHEAD_S", 0.0)
    patient = Toy("cuda", batch_faces=128)
    table_of(patient, crops, tmp_path)
    assert patient.runs == [1] * 8


def test_on_a_cpu_a_picture_is_done_before_the_next_is_read(crops, monkeypatch):
    read = []
    load = batch.load_image
    monkeypatch.setattr(batch, "load_image", lambda file: read.append(1) or load(file))
    pictures = list_pictures([crops]).pictures
    for done, _ in enumerate(analyze_pictures(Toy(), pictures, face_crop=True), start=1):
        assert len(read) == done


def test_what_no_network_can_explain_is_a_problem_of_every_picture_with_a_face(crops):
    pictures = list_pictures([crops]).pictures
    results = list(analyze_pictures(Toy(), pictures, face_crop=True, method="tea-leaves"))
    keys = [one.problem.key for one in results]
    assert keys.count("batch.failed") == 8 and keys[4] == "images.damaged"


def test_a_folders_file_keeps_the_name_that_the_browser_gave_it(tmp_path):
    for name in ("1.png", "2.png", "notes.txt", ".3.png"):
        (tmp_path / name).write_bytes(picture())
    names = {
        "holiday/a/1.png": "1.png",
        "holiday/b/1.png": "1.png",  # the same picture, which is kept once
        "2.png": "2.png",
        "holiday/notes.txt": "notes.txt",
        "holiday/.3.png": ".3.png",
    }
    files = [tmp_path / name for name in names.values()]
    listing = list_pictures(files, names=list(names))
    assert [p.name for p in listing.pictures] == ["holiday/a/1.png", "holiday/b/1.png", "2.png"]
    assert reasons(listing.problems) == {"holiday/notes.txt": "batch.no_picture"}


def test_the_report_has_the_counts_the_mean_maps_and_what_was_passed_over(analyzer):
    tally = Tally({"mfn": ("neutral", "happiness")}, [Problem("notes.txt", "batch.no_picture")])
    tally.add(result("a.png", {"mfn": ("happiness", 0.9)}, 8, 10))
    card = analyzer.checkpoint("mfn").card
    report = json.loads(json.dumps(batch_report(tally, {"mfn": card})))
    assert (report["pictures"], report["faces"]) == (1, 1)
    mfn = report["networks"]["mfn"]
    assert mfn["checkpoint"]["sha256"] == card.sha256
    assert mfn["answers"]["happiness"]["mean_heatmap"][1] == [0, 1, 0, 0, 0, 0, 0]
    assert mfn["answers"]["neutral"] == {"faces": 0, "mean_heatmap": None}
    assert report["passed_over"] == [
        {"file": "notes.txt", "reason": "notes.txt: not a picture by its name."}
    ]


def test_no_usable_network_is_an_error(analyzer):
    with pytest.raises(CheckpointError, match="nobody"):
        usable_networks(analyzer, ["nobody"])


def test_a_name_cannot_write_on_the_terminal():
    text = Problem("a\x1b[2J\n.txt", "batch.no_picture").text(WORDS)
    assert text == "a?[2J?.txt: not a picture by its name."
