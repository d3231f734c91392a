"""The DDA heads: a map is the outer product of its factors, and the largest map wins."""

import pytest
import torch

from fer_models.networks import NETWORKS


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(1)
    return NETWORKS["ddamfn"](num_classes=7, num_heads=3).eval().head


@pytest.fixture(scope="module")
def features():
    return torch.randn(2, 512, 7, 7, generator=torch.Generator().manual_seed(2))


def test_attention_is_the_outer_product_of_its_factors(head, features):
    with torch.no_grad():
        columns, rows = head.factors(features)
        attention = head.attention(features)
    assert columns.shape == (2, 3, 512, 7, 1)
    assert rows.shape == (2, 3, 512, 1, 7)
    assert attention.shape == (2, 3, 512, 7, 7)
    expected = torch.einsum("nkci,nkcj->nkcij", columns[..., 0], rows[:, :, :, 0])
    torch.testing.assert_close(attention, expected)


def test_attention_lies_between_0_and_1_and_heads_differ(head, features):
    with torch.no_grad():
        attention = head.attention(features)
    assert attention.min() > 0 and attention.max() < 1
    assert (attention[:, 0] - attention[:, 1]).abs().max() > 1e-3


def test_a_column_profile_sees_only_its_own_row_of_the_map(head, features):
    """The height profile comes from 1x7 kernels, so it must run down the map, not along it."""
    changed = features.clone()
    changed[:, :, 3, :] += 5.0
    dda_head = head.dda_heads[0]
    with torch.no_grad():
        before, after = dda_head.pool_column(features), dda_head.pool_column(changed)
    moved = (before - after).abs().amax(dim=(0, 1, 3)) > 1e-4
    assert moved.tolist() == [False, False, False, True, False, False, False]


def test_the_fused_map_is_the_element_wise_maximum(head, features):
    with torch.no_grad():
        a = head.attention(features)
        fused = torch.where(a[:, 0] > a[:, 1], a[:, 0], a[:, 1])
        fused = torch.where(fused > a[:, 2], fused, a[:, 2])
        logits = head.classifier(features * fused)
        torch.testing.assert_close(head(features), logits)
        assert not torch.allclose(head.classifier(features * a[:, 0]), logits, atol=1e-6)
