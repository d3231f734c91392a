"""The Batch tab in Chromium: a zip to a table, a stop that keeps what was done, a folder."""

import csv
import json
import shutil
import zipfile

import pytest

from tests.browser.waiting import wait_for_file
from tests.conftest import EXAMPLE, SHIPPED


@pytest.fixture
def batch(tab):
    tab.get_by_role("tab", name="Batch").click()
    tab.wait_for_selector("#batch-start")
    return tab


def give(tab, *files) -> None:
    tab.set_input_files("#batch-files input[type=file]", [str(file) for file in files])
    wait_for_file(tab, "#batch-files", files[0].stem)
    tab.wait_for_selector("#batch-line >> text=Press Analyse.")


def download_table(tab) -> list[dict]:
    with tab.expect_download(timeout=30_000) as download:
        tab.locator("#batch-csv").click()
    with open(download.value.path(), encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_zip_becomes_a_table_and_mean_heatmaps(batch, tmp_path, screenshot):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.write(EXAMPLE, "photos/her.jpg")
        archive.write(EXAMPLE.with_name("surprise.png"), "surprise.png")
        archive.writestr("<img src=x onerror=alert(1)>.txt", "x")
    give(batch, tmp_path / "faces.zip")
    batch.click("#batch-start")
    batch.wait_for_selector("#batch-line >> text=Done: 2 of 2 pictures.", timeout=120_000)
    assert batch.locator(".batch-network").count() == len(SHIPPED)
    assert batch.locator(".batch-network >> nth=0").locator("figure").count() == 8
    assert batch.locator("#batch-results img").count() >= len(SHIPPED)
    assert "onerror=alert(1)>.txt: not a picture" in batch.locator(".batch-problems").inner_text()
    rows = download_table(batch)
    assert [row["file"] for row in rows] == ["photos/her.jpg", "surprise.png"]
    assert rows[0]["mfn_answer"] == "happiness"
    with batch.expect_download() as download:
        batch.locator("#batch-png").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    with batch.expect_download() as download:
        batch.locator("#batch-json").click()
    report = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert report["faces"] == 2 and len(report["passed_over"]) == 1
    screenshot("batch")
    batch.locator("#batch-files button[aria-label=Clear]").click()
    batch.wait_for_selector("#batch-line >> text=Drop pictures or a zip file")
    assert batch.locator(".batch-network").count() == 0
    assert batch.locator("#batch-csv").is_disabled()


def test_a_stop_keeps_the_rows_that_are_done(batch, tmp_path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(40):
            archive.write(EXAMPLE, f"{number:02}.jpg")
    give(batch, tmp_path / "many.zip")
    batch.click("#batch-start")
    batch.wait_for_selector("#batch-results .batch-counts", timeout=120_000)
    batch.click("#batch-stop")
    batch.wait_for_selector("#batch-line >> text=Stopped after", timeout=60_000)
    rows = download_table(batch)
    assert 1 <= len(rows) < 40 and rows[0]["file"] == "00.jpg"
    assert batch.locator("#batch-start").is_enabled()
    assert batch.locator("#batch-stop").is_disabled()


def test_a_folder_is_added_to_the_list_and_keeps_its_folders_names(batch, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / "folder" / folder).mkdir(parents=True)
        shutil.copy(EXAMPLE, tmp_path / "folder" / folder / "her.jpg")
    give(batch, EXAMPLE.with_name("surprise.png"))
    with batch.expect_file_chooser() as chooser:
        batch.locator("#batch-folder").click()
    chooser.value.set_files(str(tmp_path / "folder"))
    wait_for_file(batch, "#batch-files", "folder/b/her")
    batch.click("#batch-start")
    batch.wait_for_selector("#batch-line >> text=Done: 3 of 3 pictures.", timeout=120_000)
    files = [row["file"] for row in download_table(batch)]
    assert files[0] == "surprise.png"
    assert sorted(files[1:]) == ["folder/a/her.jpg", "folder/b/her.jpg"]


def test_what_is_no_zip_gets_a_message_and_the_page_goes_on(batch, tmp_path):
    (tmp_path / "broken.zip").write_text("no zip")
    give(batch, tmp_path / "broken.zip")
    batch.click("#batch-start")
    batch.wait_for_selector("#batch-line .fer-problem:has-text('not a zip')", timeout=30_000)
    batch.wait_for_selector("#batch-start:enabled")
    assert batch.locator("#batch-csv").is_disabled()
