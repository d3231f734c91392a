import numpy as np
import pytest

from fer_models.lab.actions import ACTIONS, REACH_OF_REGION_CM, mirror_name, region_of_action
from fer_models.lab.head import HEAD_FILE, load_head, vertex_normals
from fer_models.lab.identities import IDENTITIES
from fer_models.lab.regions import region_points

# A jaw takes the mouth along; cheeks are puffed beside the mouth, down to the jaw line.
NEIGHBOURS = {"jaw": ("mouth",), "cheekPuff": ("mouth", "jaw")}
ONE_SIDED = [a for a in ACTIONS if a.endswith("Left") and a not in ("mouthLeft", "jawLeft")]


@pytest.fixture(scope="module")
def head():
    return load_head()


def test_the_file_is_small_and_has_all_52_actions_and_all_identities(head):
    assert HEAD_FILE.stat().st_size < 5_000_000
    assert len(ACTIONS) == 52
    assert set(head.action_names) == set(ACTIONS)
    assert head.identity_names == tuple(identity.name for identity in IDENTITIES)
    assert len(IDENTITIES) >= 8
    assert {"eye_left", "eye_right", "upper_teeth", "lower_teeth", "tongue"} < set(head.part_names)


def test_identities_differ_in_shape_and_in_colours(head):
    for i in range(len(IDENTITIES)):
        for j in range(i):
            assert np.abs(head.identity_deltas[i] - head.identity_deltas[j]).max() > 0.2
            for part in ("skin", "lips", "brows", "iris", "hair"):
                assert getattr(IDENTITIES[i], part) != getattr(IDENTITIES[j], part)


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_moves_something_and_only_inside_its_region(head, action):
    moved = np.abs(head.shape(0, {action: 1.0}) - head.shape(0, {})).max(1) > 0
    assert 50 < moved.sum() < len(moved) / 2
    low, high = REACH_OF_REGION_CM[region_of_action(action)]
    height = head.vertices[moved, 1]
    assert low <= height.min()
    assert height.max() <= high


def test_identities_spread_over_gender_age_and_weight():
    assert {identity.gender for identity in IDENTITIES} == {0.0, 1.0}
    for gender in (0.0, 1.0):
        people = [identity for identity in IDENTITIES if identity.gender == gender]
        assert min(p.age for p in people) <= 0.5 and max(p.age for p in people) >= 0.85
        assert min(p.weight for p in people) <= 0.4 and max(p.weight for p in people) >= 0.7


@pytest.fixture(scope="module")
def regions(head):
    inside = head.inside_mouth > 0.5
    for part in ("upper_teeth", "lower_teeth", "tongue"):
        inside[np.unique(head.faces_of(part))] = True
    return region_points(head.vertices.T, inside)


@pytest.mark.parametrize("action", ACTIONS)
def test_most_of_an_actions_shift_lies_in_its_own_region(head, regions, action):
    shift = ((head.shape(0, {action: 1.0}) - head.shape(0, {})) ** 2).sum(1)
    region = region_of_action(action)
    own = {region, *NEIGHBOURS.get(region, ()), *NEIGHBOURS.get(action, ())}
    assert sum(shift[regions[name]].sum() for name in own) / shift.sum() > 0.55


@pytest.mark.parametrize("action", ONE_SIDED)
def test_a_one_sided_action_moves_mostly_its_own_side(head, action):
    shift = np.linalg.norm(head.shape(0, {action: 1.0}) - head.shape(0, {}), axis=1)
    left = shift[head.vertices[:, 0] > 0].sum()
    assert left / shift.sum() > 0.75


@pytest.mark.parametrize("action", ONE_SIDED)
def test_left_and_right_versions_are_mirror_images(head, action):
    # A mirrored point is found by its position; the template is symmetric to 0.1 mm.
    template = head.vertices
    index = head.action_names.index(action)
    vertices, deltas = head.action_vertices[index], head.action_deltas[index]
    strongest = np.linalg.norm(deltas, axis=1).argsort()[-5:]
    other = np.zeros_like(template)
    mirrored = head.action_names.index(mirror_name(action))
    other[head.action_vertices[mirrored]] = head.action_deltas[mirrored]
    flip = np.array([-1, 1, 1])
    for k in strongest:
        twin = np.linalg.norm(template - template[vertices[k]] * flip, axis=1).argmin()
        np.testing.assert_allclose(other[twin], deltas[k] * flip, atol=0.25)


def test_zero_actions_equal_the_neutral_shape(head):
    neutral = head.vertices + head.identity_deltas[3]
    np.testing.assert_array_equal(head.shape(3, {}), neutral)
    np.testing.assert_array_equal(head.shape(3, dict.fromkeys(ACTIONS, 0.0)), neutral)


def test_actions_add_up_linearly(head):
    full = head.shape(1, {"jawOpen": 1.0}) - head.shape(1, {})
    half = head.shape(1, {"jawOpen": 0.5}) - head.shape(1, {})
    np.testing.assert_allclose(2 * half, full, atol=1e-4)


def test_vertex_normals_of_a_flat_square_point_towards_the_viewer():
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    normals = vertex_normals(square, np.array([[0, 1, 2], [0, 2, 3]]))
    np.testing.assert_allclose(normals, np.tile([0, 0, 1], (4, 1)))
