import numpy as np
import torch

from fer_models.explain.attention import attend, has_attention
from fer_models.networks import NETWORKS


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
