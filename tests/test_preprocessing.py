import numpy as np
import pytest
import torch

from fer_models.preprocessing import Preprocessing

FER = Preprocessing(grey=True, detail_px=48, mean=(0.5,) * 3, std=(0.25,) * 3)


def test_a_colour_face_and_its_grey_48_pixel_copy_reach_the_network_alike(photograph_crop):
    from PIL import Image

    grey = Image.fromarray(photograph_crop).convert("L").resize((48, 48), Image.Resampling.BICUBIC)
    small = np.repeat(np.asarray(grey)[..., None], 3, axis=-1)
    difference = (FER([photograph_crop]) - FER([small])).abs()
    assert difference.max() * 0.25 * 255 <= 1.01  # one grey level


def test_the_input_is_normalised_rgb_of_the_cards_size():
    white = np.full((112, 112, 3), 255, np.uint8)
    images = FER([white, white // 3])
    assert images.shape == (2, 3, 112, 112)
    torch.testing.assert_close(images[0], torch.full((3, 112, 112), 2.0))


def test_colour_keeps_its_channels_when_the_card_says_so():
    red = np.zeros((112, 112, 3), np.uint8)
    red[..., 0] = 255
    images = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))([red])
    assert images[0].mean(dim=(1, 2)).tolist() == [1, 0, 0]


def test_a_card_survives_json_and_refuses_unknown_keys():
    assert Preprocessing.from_dict(FER.to_dict()) == FER
    with pytest.raises(ValueError, match="colour"):
        Preprocessing.from_dict({**FER.to_dict(), "colour": True})
