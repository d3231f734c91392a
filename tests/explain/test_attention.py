import numpy as np
import pytest
import torch

from fer_models.calibration import Calibration
from fer_models.explain.attention import (
    attend,
    attend_channels,
    has_attention,
    probabilities_without_heads,
    without_head,
)
from fer_models.networks import NETWORKS
from fer_models.networks.ddamfn import DDAN


class TwoHeads(torch.nn.Module):
    """Two heads over two channels whose factors are known."""

    def factors(self, features):
        n = len(features)
        columns = torch.zeros(n, 2, 2, 7, 1)
        rows = torch.ones(n, 2, 2, 1, 7)
        columns[:, 0] = 0.5  # head 1: the same everywhere
        columns[:, 1, :, :3] = 0.9  # head 2: strong in the top three rows, in both channels
        return columns, rows


def test_profiles_maps_fusion_and_winners_are_those_known_by_hand():
    attention = attend(TwoHeads(), torch.zeros(1, 2, 7, 7))[0]
    top = np.array([1, 1, 1, 0, 0, 0, 0], dtype=np.float32)
    np.testing.assert_allclose(attention.columns, [np.full(7, 0.5), 0.9 * top])
    np.testing.assert_allclose(attention.rows, np.ones((2, 7)))
    np.testing.assert_allclose(attention.maps[1], np.outer(0.9 * top, np.ones(7)))
    np.testing.assert_allclose(attention.fused[:, 0], [0.9] * 3 + [0.5] * 4)
    assert attention.winner[:, 0].tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert (attention.winner_share == 1).all()
    mse = (3 * 0.4**2 + 4 * 0.5**2) / 7
    np.testing.assert_allclose(attention.pairwise_mse, [[0, mse], [mse, 0]], rtol=1e-5)


def test_only_networks_with_dda_heads_have_attention():
    assert has_attention(NETWORKS["ddamfn"]().head)
    assert not has_attention(NETWORKS["mfn"]().head)
    assert not has_attention(NETWORKS["resnet50"]().head)


def test_the_fused_map_is_at_least_every_heads_and_at_most_one():
    torch.manual_seed(0)
    head = NETWORKS["ddamfn"](num_classes=8, num_heads=3).eval().head
    for attention in attend(head, torch.randn(2, 512, 7, 7)):
        assert attention.maps.shape == (3, 7, 7)
        assert (attention.fused >= attention.maps.max(axis=0) - 1e-6).all()
        assert attention.fused.max() <= 1 and attention.maps.min() >= 0
        assert set(np.unique(attention.winner)) <= {0, 1, 2}


class ToyDDAN(torch.nn.Module):
    """Three heads that scale all features by 0.2, 0.5 and 0.4; each logit is a channel's mean."""

    classify = DDAN.classify
    dda_heads = range(3)

    def attention(self, features):
        scales = torch.tensor([0.2, 0.5, 0.4]).view(1, 3, 1, 1, 1)
        return scales * torch.ones_like(features).unsqueeze(1)

    def classifier(self, features):
        return features.mean(dim=(2, 3))


def test_the_maximum_over_the_other_heads_is_what_a_switched_off_head_leaves():
    features = torch.ones(1, 2, 7, 7) * torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    logits = [without_head(ToyDDAN(), features, i)[0].tolist() for i in range(3)]
    assert logits == [pytest.approx([scale, 3 * scale]) for scale in (0.5, 0.4, 0.5)]


def test_probabilities_without_each_head_are_calibrated():
    features = torch.ones(1, 2, 7, 7) * torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    calibration = Calibration(prior=(0.5, 0.5), temperature=0.5)
    probabilities = probabilities_without_heads(ToyDDAN(), features, calibration)
    assert probabilities.shape == (1, 3, 2)
    # The logits differ by 2 x scale, and the temperature doubles that.
    wanted = [1 / (1 + np.exp(-4 * scale)) for scale in (0.5, 0.4, 0.5)]
    np.testing.assert_allclose(probabilities[0, :, 1], wanted, rtol=1e-5)


@pytest.fixture(scope="module")
def ddan():
    torch.manual_seed(0)
    head = NETWORKS["ddamfn"](num_classes=8, num_heads=2).eval().head
    for weights in head.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    return head


def test_without_one_of_two_heads_the_other_alone_scales_the_features(ddan):
    features = torch.randn(2, 512, 7, 7)
    maps = ddan.attention(features)
    for i in (0, 1):
        alone = ddan.classifier(features * maps[:, 1 - i])
        torch.testing.assert_close(without_head(ddan, features, i), alone)
        assert not torch.allclose(alone, ddan(features))


def test_without_its_only_head_a_ddan_passes_the_features_on_as_mfn_does():
    torch.manual_seed(0)
    head = NETWORKS["ddamfn"](num_classes=8, num_heads=1).eval().head
    mfn_head = NETWORKS["mfn"](num_classes=8).eval().head
    mfn_head.load_state_dict(head.classifier.state_dict())
    features = torch.randn(1, 512, 7, 7)
    torch.testing.assert_close(without_head(head, features, 0), mfn_head(features))


@pytest.mark.parametrize("switched_off", [-1, 2])
def test_heads_that_do_not_exist_are_refused(ddan, switched_off):
    with pytest.raises(ValueError, match="there are 2"):
        without_head(ddan, torch.randn(1, 512, 7, 7), switched_off)


def test_channel_maps_are_the_heads_own_and_their_mean_is_the_map_of_all(ddan):
    features = torch.randn(2, 512, 7, 7)
    maps = ddan.attention(features).detach().numpy()
    for n, channels in enumerate(attend_channels(ddan, features)):
        assert channels.columns.shape == channels.rows.shape == (2, 512, 7)
        np.testing.assert_allclose(channels.maps(300), maps[n, :, 300], rtol=1e-6)
        np.testing.assert_allclose(channels.fused(300), maps[n, :, 300].max(axis=0), rtol=1e-6)
        mean = np.mean([channels.maps(c) for c in range(512)], axis=0)
        np.testing.assert_allclose(mean, attend(ddan, features)[n].maps, rtol=1e-4)
