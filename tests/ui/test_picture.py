"""What tabs share: errors in the page's language."""

import asyncio

import gradio as gr
import pytest
from gradio.data_classes import FileData, ImageData
from gradio.state_holder import SessionState

from fer_models.analysis import PAGE_NETWORKS
from fer_models.choice import Choices, UploadError
from fer_models.images import ImageError
from fer_models.ui.batch import Upload, build_batch_tab
from fer_models.ui.compare import Look, Question, draw_cards, explain_face, find_faces
from fer_models.ui.heads import HeadsLook, show_heads
from fer_models.ui.page import build_page
from fer_models.ui.picture import (
    download_button,
    explain_error,
    explain_missing,
    picture_input,
    slider,
)
from fer_models.ui.play import draw_cards as draw_play_cards
from fer_models.ui.play import meet_face, unchanged
from fer_models.words import load_words
from tests.conftest import EXAMPLE

CHINESE = load_words("zh")


def test_a_download_of_what_was_deleted_is_said():
    with gr.Blocks() as page:
        state = gr.State()
        download_button("Save", lambda value: value.upper(), [state], "save", CHINESE)
    (write,) = (e.fn for e in page.fns.values() if e.fn is not None)
    assert write("file") == "FILE"
    with pytest.raises(gr.Error, match="重新提供"):
        write(None)


@pytest.fixture(scope="module")
def picture():
    return find_faces(str(EXAMPLE), CHINESE)[0]


@pytest.fixture
def deleted(tmp_path) -> dict[str, str]:
    """The choice of a visitor whose upload is gone."""
    return {"ddamfn": str(tmp_path / "uploaded.safetensors")}


def updated(page: gr.Blocks, components: list[gr.Component]) -> list[gr.Component]:
    """What gradio makes of components for a visitor whose event updated or skipped them."""
    with page:
        event = page.load(None, None, components)
    visit = SessionState(page)
    updates = [gr.update(label="new") if number % 2 else gr.skip() for number in range(9)]
    function = page.fns[event["id"]]
    asyncio.run(page.postprocess_data(function, updates[: len(components)], visit))
    made = [visit[component._id] for component in components]
    assert not any(new is old for new, old in zip(made, components, strict=True))
    return made


def test_components_that_were_updated_keep_their_own_ways(analyzer):
    with gr.Blocks() as page:
        before = [slider(0, 1), slider(0, 1), picture_input(CHINESE), picture_input(CHINESE)]
        build_batch_tab(Choices(analyzer), gr.State({}), CHINESE)
    before += [b for b in page.blocks.values() if b.elem_id in ("batch-files", "batch-folder")]
    one, other, picture, field, files, folder = updated(page, before)
    assert one.preprocess(None) is other.preprocess(None) is None
    text = __file__  # gradio's own image component fails on it
    for component in (picture, field):
        assert component.preprocess(ImageData(path=text)) == text
        assert component.get_block_name() == "image"
    for component in (files, folder):
        assert component.preprocess(FileData(path=text, orig_name="a")) == [Upload(text, "a")]
    assert files.postprocess([Upload(text, "a")]).root[0].orig_name == "a"


def test_no_component_of_the_page_has_a_method_that_an_update_would_lose(analyzer):
    for block in build_page(Choices(analyzer)).blocks.values():
        own = {name for name, value in vars(block).items() if hasattr(type(block), name)}
        assert not {name for name in own if callable(getattr(type(block), name))}, block


def test_an_upload_field_invites_in_the_pages_language():
    assert picture_input(CHINESE).placeholder == CHINESE("page.drop_picture")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UploadError("upload_field", field="labels"), "卡片中的 labels 缺失或超出范围"),
        (UploadError("upload_gone"), "您上传的文件已被删除"),
        (ImageError("missing_file", file="a.jpg"), "a.jpg：没有这个文件"),
        (ValueError("no key"), "no key"),
    ],
)
def test_an_error_with_a_key_is_said_in_the_pages_language(error, text):
    assert text in explain_error(error, CHINESE)
    assert explain_error(error, load_words("en")) == str(error)


def test_a_deleted_upload_is_said_in_chinese_in_every_tab(analyzer, picture, deleted):
    choices, gone = Choices(analyzer), CHINESE("models.upload_gone")
    chosen = choices.analyzer(deleted)
    assert explain_missing(chosen, PAGE_NETWORKS, CHINESE) == {"ddamfn": gone}
    *_, view = explain_face(chosen, picture, Question(), CHINESE)
    assert gone in draw_cards(view, Look(), CHINESE)[0]
    face = meet_face(choices, deleted, picture, CHINESE)
    assert gone in draw_play_cards(face, unchanged(face), 0.5, CHINESE)[0]
    *_, shown = show_heads(choices, deleted, CHINESE, picture, None, HeadsLook())
    assert gone in shown[1]
