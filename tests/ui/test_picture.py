"""What tabs share: errors in the page's language."""

import gradio as gr
import pytest

from fer_models.analysis import PAGE_NETWORKS
from fer_models.choice import Choices, UploadError
from fer_models.images import ImageError
from fer_models.ui.compare import Look, Question, draw_cards, explain_face, find_faces
from fer_models.ui.heads import HeadsLook, show_heads
from fer_models.ui.picture import download_button, explain_error, explain_missing, picture_input
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
