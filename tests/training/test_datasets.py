"""Data sets in every layout that their owners ship, on images drawn here."""

import csv
import io
import logging
import re
import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from fer_models import faces
from fer_models.expressions import BASIC_EXPRESSIONS, EXPRESSIONS
from fer_models.images import load_image
from fer_models.preprocessing import Preprocessing
from tests.conftest import require_packages
from training.datasets import KINDS, SPLITS, affectnet, fer2013, load_faces, rafdb
from training.datasets.face_crops import align_files, find_landmarks
from training.datasets.face_set import FaceSet
from training.datasets.fer2013 import majority_labels, read_records, soft_labels

GREY_48 = Preprocessing(grey=True, detail_px=48)
COLOUR = Preprocessing()


def drawn(seed: int, side: int = 48, colour: bool = False) -> np.ndarray:
    """A smooth random image, (side,side) or (side,side,3) uint8, other for every seed."""
    shape = (4, 4, 3) if colour else (4, 4)
    coarse = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def save_image(file, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, quality=95)


@pytest.fixture(autouse=True)
def no_face_is_found(monkeypatch):
    """Drawn images hold no face: the usual framing, without running the landmark network."""

    def nothing(crops, batch_size=512):
        return np.zeros((len(crops), 5, 2)), np.zeros(len(crops))

    monkeypatch.setattr(faces, "find_crop_landmarks", nothing)


def framed(image: np.ndarray) -> np.ndarray:
    """The crop that the usual framing gives."""
    height, width = image.shape[:2]
    return faces.align_face(image, faces.FACE_CROP_LANDMARKS * [width, height] - 0.5)


def test_every_kind_has_its_splits():
    assert set(SPLITS) == set(KINDS)


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"KIND:PATH; kinds are .*rafdb"):
        load_faces("raf:somewhere", "train", COLOUR)


# --- FER2013 and FER+ ---

# emotion (FER2013's number), split, votes (neutral, happiness, surprise, sadness, anger, disgust,
# fear, contempt, unknown, NF)
ROWS = [
    (3, "Training", [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]),  # happy
    (0, "Training", [4, 0, 0, 0, 6, 0, 0, 0, 0, 0]),  # anger
    (6, "Training", [5, 0, 0, 5, 0, 0, 0, 0, 0, 0]),  # no majority
    (5, "Training", [0, 0, 2, 0, 0, 0, 0, 0, 0, 8]),  # not a face
    (1, "PublicTest", [0, 0, 0, 0, 0, 9, 0, 1, 0, 0]),  # disgust
    (2, "PrivateTest", [0, 0, 0, 0, 0, 0, 0, 10, 0, 0]),  # FER2013 says fear, FER+ contempt
]
FOLDER_OF_SPLIT = {"Training": "Train", "PublicTest": "Valid", "PrivateTest": "Test"}
CLASS_NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_csv(folder, votes: bool) -> None:
    with (folder / "fer2013.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["emotion", "pixels", "Usage"])
        for seed, (emotion, split, _) in enumerate(ROWS):
            writer.writerow([emotion, " ".join(map(str, drawn(seed).ravel())), split])
    if votes:
        with (folder / "fer2013new.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["Usage", "Image name", *"abcdefghij"])
            for seed, (_, split, counts) in enumerate(ROWS):
                writer.writerow([split, f"fer{seed:07d}.png", *counts])


def write_parquet(folder) -> None:
    import pyarrow
    import pyarrow.parquet

    for split in FOLDER_OF_SPLIT:
        rows = [
            {"name": f"fer{seed:07d}.png", "image": png(drawn(seed)), "emotion": e, "votes": v}
            for seed, (e, s, v) in enumerate(ROWS)
            if s == split
        ]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{split}.parquet")


def write_ferplus_folders(folder) -> None:
    for split, name in FOLDER_OF_SPLIT.items():
        with_labels = folder / f"FER2013{name}"
        with_labels.mkdir()
        with (with_labels / "label.csv").open("w", newline="") as stream:
            for seed, (_, row_split, votes) in enumerate(ROWS):
                if row_split == split:
                    file = f"fer{seed:07d}.png"
                    save_image(with_labels / file, drawn(seed))
                    csv.writer(stream).writerow([file, "(0, 0, 48, 48)", *votes])


def write_image_folders(folder) -> None:
    for seed, (emotion, split, _) in enumerate(ROWS):
        top = "train" if split == "Training" else "test"
        file = folder / top / CLASS_NAMES[emotion] / f"{split}_{seed}.png"
        save_image(file, drawn(seed))


def write_csv_with_votes(folder) -> None:
    write_csv(folder, votes=True)


def write_csv_alone(folder) -> None:
    write_csv(folder, votes=False)


FERPLUS_FORMS = [write_parquet, write_csv_with_votes, write_ferplus_folders]
FER2013_FORMS = [write_parquet, write_csv_alone, write_csv_with_votes, write_image_folders]


@pytest.mark.parametrize("write", FERPLUS_FORMS)
def test_every_form_of_ferplus_gives_the_same_faces(tmp_path, write):
    write(tmp_path)
    loaded = load_faces(f"ferplus:{tmp_path}#subset", "Training", GREY_48)
    assert loaded.expressions == EXPRESSIONS
    assert loaded.names == ("fer0000000.png", "fer0000001.png", "fer0000002.png")
    assert loaded.labels.tolist() == [
        EXPRESSIONS.index("happiness"),
        EXPRESSIONS.index("anger"),
        -1,
    ]
    assert loaded.targets[1].tolist() == pytest.approx([0.4, 0, 0, 0, 0, 0, 0.6, 0])
    expected = GREY_48.reduce(framed(np.repeat(drawn(0)[..., None], 3, axis=-1)))
    # The landmark cache keeps quarters of a pixel.
    assert np.abs(loaded.crops[0].astype(int) - expected).mean() < 2
    assert len(loaded.labelled()) == 2


@pytest.mark.parametrize("write", FER2013_FORMS)
def test_every_form_of_fer2013_gives_the_same_labels(tmp_path, write):
    write(tmp_path)
    loaded = load_faces(f"fer2013:{tmp_path}#subset", "Training", GREY_48)
    assert loaded.expressions == BASIC_EXPRESSIONS
    labels = [BASIC_EXPRESSIONS[label] for label in loaded.labels]
    assert sorted(labels) == ["anger", "happiness", "neutral", "surprise"]
    assert np.array_equal(loaded.targets.argmax(axis=1), loaded.labels)
    private = load_faces(f"fer2013:{tmp_path}#subset", "PrivateTest", GREY_48)
    assert [BASIC_EXPRESSIONS[label] for label in private.labels] == ["fear"]


def test_fer2013_without_cache_and_detector_is_framed_with_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    monkeypatch.setattr(faces, "find_crop_landmarks", lambda _: pytest.fail("it was called"))
    write_csv_alone(tmp_path)
    with caplog.at_level(logging.WARNING):
        loaded = load_faces(f"fer2013:{tmp_path}#subset", "Training", GREY_48)
    assert "facenet_pytorch is not installed: 4 face crops" in caplog.text
    expected = GREY_48.reduce(framed(np.repeat(drawn(0)[..., None], 3, axis=-1)))
    assert np.array_equal(loaded.crops[0], expected)


@pytest.mark.parametrize("write", [write_parquet, write_csv_with_votes, write_ferplus_folders])
def test_ferplus_images_are_read_bit_for_bit(tmp_path, write):
    write(tmp_path)
    images = read_records(str(tmp_path), "Training", is_part=True).images
    assert all(np.array_equal(images[seed], drawn(seed)) for seed in range(4))


def test_fer2013s_own_label_can_enter_the_soft_labels(tmp_path):
    write_parquet(tmp_path)
    loaded = load_faces(f"ferplus:{tmp_path}#subset", "PrivateTest", GREY_48, fer2013_weight=0.25)
    wanted = dict.fromkeys(EXPRESSIONS, 0.0) | {"contempt": 0.75, "fear": 0.25}
    assert loaded.targets[0].tolist() == pytest.approx(list(wanted.values()))


def test_a_row_that_ferplus_leaves_out_is_left_out(tmp_path):
    write_csv(tmp_path, votes=True)
    file = tmp_path / "fer2013new.csv"
    file.write_text(file.read_text().replace("fer0000000.png", ""))
    loaded = load_faces(f"ferplus:{tmp_path}#subset", "Training", GREY_48)
    assert loaded.names == ("fer0000001.png", "fer0000002.png")


VOTES = {  # name of the case -> votes, the majority's label or None
    "more than half wins": ([6, 4, 0, 0, 0, 0, 0, 0, 0, 0], "neutral"),
    "half is no majority": ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None),
    "the largest without half is none": ([4, 3, 3, 0, 0, 0, 0, 0, 0, 0], None),
    "single votes do not count": ([5, 1, 1, 1, 1, 1, 0, 0, 0, 0], "neutral"),
    "unknown in the majority leaves it out": ([0, 4, 0, 0, 0, 0, 0, 0, 6, 0], None),
    "no face in the majority leaves it out": ([0, 0, 0, 0, 0, 0, 0, 0, 2, 8], None),
    "unknown counts against a majority": ([5, 0, 0, 0, 0, 0, 0, 0, 5, 0], None),
    "single votes alone give none": ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None),
    "surprise is the third column": ([0, 0, 9, 0, 0, 0, 0, 0, 0, 0], "surprise"),
    "disgust is the sixth": ([0, 0, 0, 0, 2, 6, 2, 0, 0, 0], "disgust"),
    "contempt is the eighth": ([0, 0, 0, 0, 0, 0, 3, 7, 0, 0], "contempt"),
}


@pytest.mark.parametrize("case", VOTES)
def test_the_majority_protocol(case):
    votes, expected = VOTES[case]
    label = int(majority_labels(np.array([votes]))[0])
    assert (EXPRESSIONS[label] if label >= 0 else None) == expected


def test_soft_labels_are_the_kept_votes_of_the_eight_expressions():
    soft = soft_labels(np.array([[6, 1, 0, 0, 2, 0, 0, 0, 5, 0], [1, 1, 0, 0, 0, 0, 0, 0, 8, 0]]))
    assert soft[0].tolist() == pytest.approx([0.75, 0, 0, 0, 0, 0, 0.25, 0])
    assert soft[1].tolist() == [0] * 8


@pytest.mark.parametrize(
    "split, labelled", [("Training", 25_057), ("PublicTest", 3_199), ("PrivateTest", 3_152)]
)
def test_the_real_votes_give_the_published_numbers_of_images(fer2013_folder, split, labelled):
    require_packages("pyarrow")
    import pyarrow.parquet as parquet

    votes = []
    for file in sorted(fer2013_folder.glob(f"{split}*.parquet")):
        votes += parquet.read_table(file, columns=["votes"])["votes"].to_pylist()
    labels = majority_labels(np.array([row or [0] * 10 for row in votes]))
    assert (labels >= 0).sum() == labelled


def test_an_unknown_split_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="no split 'train'; it has Training"):
        load_faces(f"fer2013:{tmp_path}#subset", "train", GREY_48)


def test_a_folder_without_fer2013_says_what_is_expected(tmp_path):
    with pytest.raises(ValueError, match=r"Expected Training\*\.parquet"):
        load_faces(f"fer2013:{tmp_path}#subset", "Training", GREY_48)


def test_ferplus_without_votes_names_the_missing_file(tmp_path):
    write_csv(tmp_path, votes=False)
    with pytest.raises(ValueError, match="Put fer2013new.csv beside"):
        load_faces(f"ferplus:{tmp_path}#subset", "Training", GREY_48)


def test_votes_of_another_number_of_rows_are_refused(tmp_path):
    write_csv(tmp_path, votes=True)
    file = tmp_path / "fer2013new.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"fer2013new.csv: 5 rows, but fer2013.csv has 6"):
        load_faces(f"ferplus:{tmp_path}#subset", "Training", GREY_48)


def test_votes_in_another_order_are_refused(tmp_path):
    write_csv(tmp_path, votes=True)
    file = tmp_path / "fer2013new.csv"
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(rows)]))
    problem = "fer2013new.csv: line 2: Usage 'PrivateTest', but the image of this row is of Train"
    with pytest.raises(ValueError, match=problem):
        load_faces(f"ferplus:{tmp_path}#subset", "Training", GREY_48)


def corrupt(file, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


CORRUPTIONS = {  # case -> form, file, what becomes what there, the problem that is named
    "an emotion that is no number": (
        write_csv_alone, "fer2013.csv", "\n3,", "\nhappy,", "line 2: emotion 'happy'"
    ),
    "an emotion out of range": (
        write_csv_alone, "fer2013.csv", "\n3,", "\n7,", "line 2: emotion '7', but .* 0 to 6"
    ),
    "a pixel that is no number": (
        write_csv_alone, "fer2013.csv", "3,", "3,x ", "line 2: pixels that are not numbers"
    ),
    "a pixel over 255": (
        write_csv_alone, "fer2013.csv", "\n3,", "\n3,256 ", "line 2: pixels that are not numbers"
    ),
    "a pixel too many": (
        write_csv_alone, "fer2013.csv", "\n3,", "\n3,0 ", "line 2: 2305 pixels, not 2304"
    ),
    "a row that is cut off": (
        write_csv_alone, "fer2013.csv", ",Training", "", "line 2: 2 columns, not 3"
    ),
    "no column of that name": (write_csv_alone, "fer2013.csv", "pixels", "px", "no column pixels"),
    "a row of votes that is cut off": (
        write_csv_with_votes, "fer2013new.csv", ",fer0000001.png,4,0,0,0,6,0,0,0,0,0", "",
        "line 3: votes \\[\\], not 10 numbers",
    ),
    "a vote that is no number": (
        write_csv_with_votes, "fer2013new.csv", "1.png,4,", "1.png,?,", "line 3: votes .*'\\?'"
    ),
    "a short label.csv": (
        write_ferplus_folders, "FER2013Train/label.csv", ",0,10,0,0,0,0,0,0,0,0", ",0,10",
        "line 1: votes .*, not 10 numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CORRUPTIONS)
def test_a_corrupt_fer2013_file_is_named_with_line_layout_and_fix(tmp_path, case):
    write, name, old, new, problem = CORRUPTIONS[case]
    write(tmp_path)
    corrupt(tmp_path / name, old, new)
    kind = "fer2013" if write is write_csv_alone else "ferplus"
    with pytest.raises(
        ValueError, match=rf"{name}: {problem}.*Expected Training\*\.parquet.*Fetch it anew"
    ):
        load_faces(f"{kind}:{tmp_path}#subset", "Training", GREY_48)


def test_a_truncated_parquet_file_and_a_corrupt_image_in_it_are_named(tmp_path):
    import pyarrow
    import pyarrow.parquet

    file = tmp_path / "Training.parquet"
    row = {"name": "fer1.png", "image": png(drawn(0))[:80], "emotion": 0, "votes": None}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), file)
    with pytest.raises(ValueError, match=r"Training.parquet: fer1.png: not a readable.*Expected"):
        load_faces(f"fer2013:{tmp_path}#subset", "Training", GREY_48)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"Training.parquet: not the expected Parquet.*Fetch"):
        load_faces(f"fer2013:{tmp_path}#subset", "Training", GREY_48)


def test_a_missing_and_a_truncated_ferplus_image_are_named(tmp_path):
    write_ferplus_folders(tmp_path)
    file = tmp_path / "FER2013Train" / "fer0000001.png"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"fer0000001.png: not a readable image.*Expected.*Fetch"):
        load_faces(f"ferplus:{tmp_path}#subset", "Training", GREY_48)
    file.unlink()
    with pytest.raises(ValueError, match=r"fer0000001.png: missing, though .*label.csv names it"):
        load_faces(f"ferplus:{tmp_path}#subset", "Training", GREY_48)


def test_a_folder_that_is_no_expression_of_fer2013_is_named(tmp_path):
    write_image_folders(tmp_path)
    for name in ("sleepy", "contempt"):
        (tmp_path / "train" / name).mkdir()
        with pytest.raises(ValueError, match=rf"train/{name}: no expression of FER2013.*Expected"):
            load_faces(f"fer2013:{tmp_path}#subset", "Training", GREY_48)
        (tmp_path / "train" / name).rmdir()


@pytest.mark.parametrize("write", dict.fromkeys([*FERPLUS_FORMS, *FER2013_FORMS]))
def test_fewer_fer2013_images_than_published_stop_with_file_layout_and_fix(
    tmp_path, monkeypatch, write
):
    write(tmp_path)
    kind = "ferplus" if write is write_ferplus_folders else "fer2013"
    published = 28_558 if write is write_ferplus_folders else 28_709
    with pytest.raises(ValueError) as stopped:
        load_faces(f"{kind}:{tmp_path}", "Training", GREY_48)
    message = str(stopped.value)
    assert message.startswith(str(tmp_path))
    assert f"4 images, but {published} were published. Expected Training*.parquet" in message
    assert message.endswith(
        "Fetch what is missing, or write #subset behind the path if a part is meant."
    )
    monkeypatch.setitem(fer2013.COUNTS, "Training", 4)
    monkeypatch.setitem(fer2013.FERPLUS_COUNTS, "Training", 4)
    assert len(load_faces(f"{kind}:{tmp_path}", "Training", GREY_48)) > 0


def test_votes_for_fewer_images_than_published_stop(tmp_path, monkeypatch):
    write_csv(tmp_path, votes=True)
    monkeypatch.setitem(fer2013.COUNTS, "Training", 4)
    with pytest.raises(ValueError, match="with FER.* votes: 4 images, but 28558 were published"):
        load_faces(f"ferplus:{tmp_path}", "Training", GREY_48)


def test_the_real_fer2013_has_the_published_numbers_of_images(fer2013_folder):
    records = read_records(str(fer2013_folder), "PrivateTest")
    assert len(records.names) == 3_589
    assert records.votes.any(axis=1).sum() == 3_573
    assert sum(fer2013.COUNTS.values()) == 35_887


# --- RAF-DB ---

RAFDB_LABELS = [1, 2, 3, 4, 5, 6, 7]  # surprise, fear, disgust, happiness, sadness, anger, neutral


@pytest.fixture
def rafdb_folder(tmp_path):
    lines = []
    for split, seed in (("train", 0), ("test", 50)):
        for number, label in enumerate(RAFDB_LABELS, start=1):
            name = f"{split}_{number:05d}"
            lines.append(f"{name}.jpg {label}")
            file = tmp_path / "basic" / "Image" / "aligned" / f"{name}_aligned.jpg"
            save_image(file, drawn(seed + number, 100, colour=True))
    list_file = tmp_path / "basic" / "EmoLabel" / "list_patition_label.txt"
    list_file.parent.mkdir()
    list_file.write_text("\n".join(lines) + "\n")
    return tmp_path


def edit_list(folder, old: str, new: str) -> None:
    file = folder / "basic" / "EmoLabel" / "list_patition_label.txt"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_rafdb_is_read_by_name_and_framed(rafdb_folder):
    loaded = load_faces(f"rafdb:{rafdb_folder}#subset", "train", COLOUR)
    names = [loaded.expressions[label] for label in loaded.labels]
    assert names == ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]
    assert loaded.expressions == BASIC_EXPRESSIONS
    assert loaded.names[0] == "train_00001.jpg"
    assert loaded.crops.shape == (7, 112, 112, 3)
    file = rafdb_folder / "basic" / "Image" / "aligned" / "train_00001_aligned.jpg"
    assert np.array_equal(loaded.crops[0], framed(np.asarray(Image.open(file))))


def save_on_its_side(file, pixels: np.ndarray) -> None:
    """A JPEG that a viewer turns by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, quality=95, exif=exif)


def test_a_rafdb_image_is_turned_as_the_page_turns_it(rafdb_folder):
    file = rafdb_folder / "basic" / "Image" / "aligned" / "train_00001_aligned.jpg"
    save_on_its_side(file, drawn(1, 100, colour=True))
    loaded = load_faces(f"rafdb:{rafdb_folder}#subset", "train", COLOUR)
    assert np.array_equal(loaded.crops[0], framed(load_image(file)))


def test_rafdb_crops_can_be_as_fer2013s(rafdb_folder):
    loaded = load_faces(f"rafdb:{rafdb_folder / 'basic'}#subset", "test", GREY_48)
    assert loaded.crops.shape == (7, 48, 48)
    assert loaded.targets.sum(axis=1).tolist() == [1.0] * 7


def test_landmarks_found_on_the_small_copy_are_in_the_images_own_pixels(monkeypatch):
    on_48 = faces.FACE_CROP_LANDMARKS * 48 - 0.5 + 2.0
    monkeypatch.setattr(
        faces,
        "find_crop_landmarks",
        lambda crops: (np.repeat(on_48[None], len(crops), 0), np.array([0.99, 0.1])),
    )
    found, none_found = find_landmarks([drawn(1, 96, colour=True), drawn(2, 144, colour=True)])
    np.testing.assert_allclose(found, (on_48 + 0.5) * 2 - 0.5)
    np.testing.assert_allclose(none_found, faces.FACE_CROP_LANDMARKS * 144 - 0.5)


def test_without_the_detector_the_usual_framing_serves_with_a_warning(
    rafdb_folder, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    monkeypatch.setattr(faces, "find_crop_landmarks", lambda _: pytest.fail("it was called"))
    with caplog.at_level(logging.WARNING):
        loaded = load_faces(f"rafdb:{rafdb_folder}#subset", "train", COLOUR)
    assert "facenet_pytorch is not installed" in caplog.text
    file = rafdb_folder / "basic" / "Image" / "aligned" / "train_00007_aligned.jpg"
    assert np.array_equal(loaded.crops[6], framed(np.asarray(Image.open(file))))


def test_a_count_other_than_rafdbs_stops_or_is_told_where_a_part_is_meant(rafdb_folder, caplog):
    problem = r"label.txt: 7 images, but 12271 were published"
    with pytest.raises(ValueError, match=rf"{problem}. Expected basic/.*#subset behind the path"):
        load_faces(f"rafdb:{rafdb_folder}", "train", GREY_48)
    with caplog.at_level(logging.WARNING):
        load_faces(f"rafdb:{rafdb_folder}#subset", "train", GREY_48)
    assert re.search(problem, caplog.text)
    assert rafdb.COUNTS == {"train": 12_271, "test": 3_068}


def test_a_missing_rafdb_image_is_named_with_layout_and_fix(rafdb_folder):
    (rafdb_folder / "basic/Image/aligned/train_00003_aligned.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"train_00003_aligned.jpg: missing.*1 of 7.*basic/EmoLabel.*Unpack"
    ):
        load_faces(f"rafdb:{rafdb_folder}#subset", "train", GREY_48)


def test_an_unlisted_rafdb_image_is_a_wrong_count(rafdb_folder):
    edit_list(rafdb_folder, "train_00007.jpg 7\n", "")
    with pytest.raises(ValueError, match=r"label.txt: names 6 train images, but .* has 7"):
        load_faces(f"rafdb:{rafdb_folder}#subset", "train", GREY_48)


@pytest.mark.parametrize("label", ["8", "0", "happy", ""])
def test_an_unknown_rafdb_label_is_named_by_line(rafdb_folder, label):
    edit_list(rafdb_folder, "train_00002.jpg 2", f"train_00002.jpg {label}")
    with pytest.raises(ValueError, match=r"label.txt: line 2: 'train_00002.jpg.*1 to 7"):
        load_faces(f"rafdb:{rafdb_folder}#subset", "train", GREY_48)


def test_a_rafdb_image_listed_twice_is_named(rafdb_folder):
    edit_list(rafdb_folder, "train_00002.jpg 2", "train_00001.jpg 2")
    with pytest.raises(ValueError, match="line 2: names train_00001.jpg again"):
        load_faces(f"rafdb:{rafdb_folder}#subset", "train", GREY_48)


def test_a_corrupt_rafdb_image_is_named(rafdb_folder):
    file = rafdb_folder / "basic/Image/aligned/test_00004_aligned.jpg"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ValueError, match="test_00004_aligned.jpg: not a readable image"):
        load_faces(f"rafdb:{rafdb_folder}#subset", "test", GREY_48)


def test_a_folder_without_rafdbs_list_says_what_is_expected(tmp_path):
    with pytest.raises(ValueError, match=r"list_patition_label.txt: missing. Expected basic/"):
        load_faces(f"rafdb:{tmp_path}#subset", "train", GREY_48)


def test_rafdb_has_no_validation_split(rafdb_folder):
    with pytest.raises(ValueError, match="it has train, test"):
        load_faces(f"rafdb:{rafdb_folder}#subset", "val", GREY_48)


# --- AffectNet ---

AFFECTNET_LABELS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]


def landmarks_68(side: int) -> np.ndarray:
    """68 points whose five are those of a face in the middle of an image."""
    eyes_nose_mouth = faces.FACE_CROP_LANDMARKS * side
    points = np.full((68, 2), side / 2)
    points[36:42], points[42:48] = eyes_nose_mouth[0], eyes_nose_mouth[1]
    points[36, 0] -= 3  # an eye's centre is the mean of its six points
    points[37, 0] += 3
    points[30], points[48], points[54] = eyes_nose_mouth[2:]
    return points


@pytest.fixture
def affectnet_csv(tmp_path):
    for split in ("training", "validation"):
        with (tmp_path / f"{split}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            if split == "training":
                writer.writerow(affectnet.COLUMNS)
            for seed, label in enumerate(AFFECTNET_LABELS):
                name = f"{seed}/{split}{seed}.jpg"
                file = tmp_path / "Manually_Annotated_Images" / name
                save_image(file, drawn(seed, 120, colour=True))
                points = ";".join(f"{value:.2f}" for value in landmarks_68(120).ravel())
                writer.writerow([name, 5, 5, 110, 110, points, label, 0.1, -0.2])
    return tmp_path


@pytest.fixture
def affectnet_numpy(tmp_path):
    for folder in ("train_set", "val_set"):
        annotations = tmp_path / folder / "annotations"
        annotations.mkdir(parents=True)
        for seed, label in enumerate(AFFECTNET_LABELS[:8]):
            file = tmp_path / folder / "images" / f"{seed}.jpg"
            save_image(file, drawn(seed, 224, colour=True))
            np.save(annotations / f"{seed}_exp.npy", np.array(str(label)))
            np.save(annotations / f"{seed}_lnd.npy", landmarks_68(224).ravel())
    return tmp_path


@pytest.mark.parametrize("layout", ["affectnet_csv", "affectnet_numpy"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_affectnet_8_is_read_in_both_layouts(layout, split, request):
    folder = request.getfixturevalue(layout)
    loaded = load_faces(f"affectnet8:{folder}#subset", split, COLOUR)
    assert loaded.expressions == EXPRESSIONS
    assert loaded.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert loaded.crops.shape == (8, 112, 112, 3)


@pytest.mark.parametrize("layout", ["affectnet_csv", "affectnet_numpy"])
def test_affectnet_7_leaves_out_contempt(layout, request):
    folder = request.getfixturevalue(layout)
    loaded = load_faces(f"affectnet7:{folder}#subset", "val", GREY_48)
    assert loaded.expressions == BASIC_EXPRESSIONS
    assert loaded.labels.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_affectnet_is_read_as_its_owners_nest_it(affectnet_csv):
    flat = load_faces(f"affectnet8:{affectnet_csv}#subset", "val", COLOUR)
    lists = affectnet_csv / "Manually_Annotated_file_lists"
    lists.mkdir()
    for file in affectnet_csv.glob("*.csv"):
        file.rename(lists / file.name)
    images = affectnet_csv / "Manually_Annotated_Images"
    (affectnet_csv / "Manually_Annotated").mkdir()
    images.rename(affectnet_csv / "Manually_Annotated" / images.name)
    nested = load_faces(f"affectnet8:{affectnet_csv}#subset", "val", COLOUR)
    assert np.array_equal(nested.crops, flat.crops) and nested.names == flat.names


def test_affectnets_own_landmarks_align_its_faces(affectnet_csv):
    loaded = load_faces(f"affectnet8:{affectnet_csv}#subset", "train", COLOUR)
    image = Image.open(affectnet_csv / "Manually_Annotated_Images/0/training0.jpg")
    five = np.round(faces.FACE_CROP_LANDMARKS * 120, 2)
    expected = faces.align_face(np.asarray(image), five).astype(int)
    assert np.abs(loaded.crops[0] - expected).max() <= 1


def test_affectnets_pixels_stay_as_its_landmarks_know_them(affectnet_csv):
    before = load_faces(f"affectnet8:{affectnet_csv}#subset", "train", COLOUR).crops[0]
    file = affectnet_csv / "Manually_Annotated_Images" / "0" / "training0.jpg"
    save_on_its_side(file, drawn(0, 120, colour=True))
    after = load_faces(f"affectnet8:{affectnet_csv}#subset", "train", COLOUR).crops[0]
    assert np.array_equal(after, before)


def test_affectnet_without_landmark_files_is_framed(affectnet_numpy):
    for file in affectnet_numpy.glob("*/annotations/*_lnd.npy"):
        file.unlink()
    loaded = load_faces(f"affectnet8:{affectnet_numpy}#subset", "train", COLOUR)
    image = Image.open(affectnet_numpy / "train_set" / "images" / "0.jpg")
    assert np.array_equal(loaded.crops[0], framed(np.asarray(image)))


def test_one_missing_landmark_file_is_named(affectnet_numpy):
    (affectnet_numpy / "train_set/annotations/4_lnd.npy").unlink()
    with pytest.raises(ValueError, match=r"4_lnd.npy: missing. Expected .*train_set"):
        load_faces(f"affectnet8:{affectnet_numpy}#subset", "train", GREY_48)


def test_an_unknown_affectnet_label_is_named(affectnet_csv, tmp_path):
    file = affectnet_csv / "training.csv"
    file.write_text(file.read_text().replace(",3,0.1", ",11,0.1"))
    with pytest.raises(ValueError, match=r"training.csv: line 5: label '11'; .*0 to 10"):
        load_faces(f"affectnet8:{affectnet_csv}#subset", "train", GREY_48)


def test_an_unknown_numpy_label_is_named(affectnet_numpy):
    np.save(affectnet_numpy / "val_set/annotations/3_exp.npy", np.array("happy"))
    with pytest.raises(ValueError, match="3_exp.npy: label 'happy'"):
        load_faces(f"affectnet8:{affectnet_numpy}#subset", "val", GREY_48)


def test_a_pickled_annotation_is_not_run(affectnet_numpy):
    class Runs:
        def __reduce__(self):
            return pytest.fail, ("it ran",)

    file = affectnet_numpy / "val_set/annotations/3_exp.npy"
    np.save(file, np.array([Runs()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="3_exp.npy: not a numpy array"):
        load_faces(f"affectnet8:{affectnet_numpy}#subset", "val", GREY_48)


def test_an_image_without_annotation_is_a_wrong_count(affectnet_numpy):
    (affectnet_numpy / "train_set/annotations/2_exp.npy").unlink()
    with pytest.raises(ValueError, match=r"train_set: 7 files .*_exp.npy, but 8 images"):
        load_faces(f"affectnet8:{affectnet_numpy}#subset", "train", GREY_48)


@pytest.mark.parametrize("layout", ["affectnet_csv", "affectnet_numpy"])
def test_a_missing_affectnet_image_is_named(layout, request):
    folder = request.getfixturevalue(layout)
    file = sorted(folder.rglob("*.jpg"))[0]
    file.unlink()
    with pytest.raises(ValueError, match=rf"{file.name}: missing.*\(1 of 8 files"):
        load_faces(f"affectnet8:{folder}#subset", "train", GREY_48)


def test_a_csv_row_cut_short_is_named(affectnet_csv):
    file = affectnet_csv / "validation.csv"
    file.write_text(file.read_text().rstrip()[:-20])
    with pytest.raises(
        ValueError, match=r"validation.csv: line 10: (\d+ columns|not 68 landmarks)"
    ):
        load_faces(f"affectnet8:{affectnet_csv}#subset", "val", GREY_48)


def test_landmarks_of_another_copy_of_the_image_are_refused(affectnet_numpy):
    file = affectnet_numpy / "train_set/annotations/5_lnd.npy"
    np.save(file, landmarks_68(600).ravel())
    with pytest.raises(
        ValueError, match=r"5.jpg: its landmarks do not lie on the image of 224x224"
    ):
        load_faces(f"affectnet8:{affectnet_numpy}#subset", "train", GREY_48)


@pytest.mark.parametrize("layout", ["affectnet_csv", "affectnet_numpy"])
def test_a_count_other_than_affectnets_stops_or_is_told(layout, request, caplog):
    folder = request.getfixturevalue(layout)
    problem = "7 images, but 3500 or 3499 were published"
    with pytest.raises(ValueError, match=rf"{problem}. Expected training.csv.*#subset behind"):
        load_faces(f"affectnet7:{folder}", "val", GREY_48)
    with caplog.at_level(logging.WARNING):
        load_faces(f"affectnet7:{folder}#subset", "val", GREY_48)
    assert problem in caplog.text


def test_a_folder_without_affectnet_says_what_is_expected(tmp_path):
    with pytest.raises(ValueError, match=r"Expected training.csv and validation.csv"):
        load_faces(f"affectnet7:{tmp_path}#subset", "train", GREY_48)


# --- folders ---


@pytest.fixture
def class_folders(tmp_path):
    for split in ("train", "val"):
        for seed, (name, side) in enumerate([("Happy", 60), ("angry", 90), ("surprise", 48)]):
            save_image(tmp_path / split / name / f"{seed}.jpg", drawn(seed, side, colour=True))
    save_image(tmp_path / "train" / "angry" / "grey.png", drawn(9, 50))
    (tmp_path / "train" / "angry" / "notes.txt").write_text("not an image")
    return tmp_path


def test_class_folders_are_read_by_their_names(class_folders):
    loaded = load_faces(f"folder:{class_folders}", "train", COLOUR)
    named = dict(zip(loaded.names, (loaded.expressions[i] for i in loaded.labels), strict=True))
    assert named == {
        "Happy/0.jpg": "happiness",
        "angry/1.jpg": "anger",
        "angry/grey.png": "anger",
        "surprise/2.jpg": "surprise",
    }
    assert loaded.expressions == BASIC_EXPRESSIONS
    assert loaded.crops.shape == (4, 112, 112, 3)


def test_images_in_folders_are_read_as_the_page_reads_them(tmp_path):
    folder = tmp_path / "train" / "happy"
    save_on_its_side(folder / "a.jpg", drawn(0, 60, colour=True))
    hidden = np.dstack(
        [
            drawn(1, 60, colour=True),
            np.where(np.arange(3600) % 60 < 30, 0, 255).reshape(60, 60).astype(np.uint8),
        ]
    )
    Image.fromarray(hidden).save(folder / "b.png")
    deep = np.arange(3600, dtype=np.uint16).reshape(60, 60) * 18
    Image.fromarray(deep).save(folder / "c.png")
    loaded = load_faces(f"folder:{tmp_path}", "train", COLOUR)
    assert loaded.names == ("happy/a.jpg", "happy/b.png", "happy/c.png")
    for crop, name in zip(loaded.crops, loaded.names, strict=True):
        assert np.array_equal(crop, framed(load_image(tmp_path / "train" / name))), name


def test_aligned_crops_need_their_own_memory_once(tmp_path):
    file = tmp_path / "face.png"
    save_image(file, drawn(0, 24, colour=True))
    tracemalloc.start()
    try:
        crops = align_files([file] * 400, COLOUR, "a face")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert crops.shape == (400, 112, 112, 3)
    assert peak < 1.3 * crops.nbytes


def test_the_split_all_takes_the_classes_at_the_path(class_folders):
    loaded = load_faces(f"folder:{class_folders / 'val'}", "all", GREY_48)
    assert len(loaded) == 3


def test_classes_that_nobody_parted_are_parted_by_their_names(tmp_path):
    for name, count in (("happy", 23), ("angry", 4), ("fear", 2)):
        for seed in range(count):
            save_image(tmp_path / name / f"{seed}.png", drawn(seed, 48))
    splits = {s: load_faces(f"folder:{tmp_path}", s, GREY_48) for s in ("train", "val", "test")}
    names = {split: set(faces.names) for split, faces in splits.items()}
    assert len(set.union(*names.values())) == sum(map(len, names.values())) == 29
    counts = {
        split: [sum(n.startswith(c) for n in names[split]) for c in ("happy", "angry", "fear")]
        for split in splits
    }
    assert counts == {"train": [19, 2, 2], "val": [2, 1, 0], "test": [2, 1, 0]}
    save_image(tmp_path / "happy" / "new.png", drawn(99, 48))  # most stay where they are
    again = set(load_faces(f"folder:{tmp_path}", "train", GREY_48).names)
    assert len(again & names["train"]) >= 21
    with pytest.raises(ValueError, match="half: no such folder"):
        load_faces(f"folder:{tmp_path}", "half", GREY_48)


def test_contempt_in_one_split_makes_eight_expressions_in_all(class_folders):
    save_image(class_folders / "train" / "contempt" / "1.jpg", drawn(3, 64, colour=True))
    for split in ("train", "val"):
        loaded = load_faces(f"folder:{class_folders}", split, GREY_48)
        assert loaded.expressions == EXPRESSIONS


def test_a_folder_that_is_no_expression_is_named(class_folders):
    (class_folders / "train" / "sleepy").mkdir()
    with pytest.raises(ValueError, match=r"sleepy: 'sleepy' is no expression.*SPLIT/CLASS"):
        load_faces(f"folder:{class_folders}", "train", GREY_48)


def test_a_missing_split_says_what_is_expected(class_folders):
    with pytest.raises(ValueError, match=r"test: no such folder. Expected SPLIT/CLASS"):
        load_faces(f"folder:{class_folders}", "test", GREY_48)


def test_folders_without_images_are_an_error(tmp_path):
    (tmp_path / "train" / "happy").mkdir(parents=True)
    with pytest.raises(ValueError, match="no images in class folders"):
        load_faces(f"folder:{tmp_path}", "train", GREY_48)


def test_a_corrupt_image_in_a_folder_is_named(class_folders):
    (class_folders / "val" / "Happy" / "0.jpg").write_text("no image")
    with pytest.raises(ValueError, match="0.jpg: not a readable image"):
        load_faces(f"folder:{class_folders}", "val", GREY_48)


def test_arrays_that_do_not_belong_together_make_no_face_set():
    crops, labels = np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="one entry for each face, but there are 2, 2, 2, 1"):
        FaceSet(crops, np.eye(2, dtype=np.float32), labels, ("fear", "anger"), ("a",))
    with pytest.raises(ValueError, match="2 columns for 1 expressions"):
        FaceSet(crops, np.eye(2, dtype=np.float32), labels, ("fear",), ("a", "b"))
