"""Recipes: what they may hold, and what is said of what they may not."""

from pathlib import Path

import pytest

import training
from training.recipe import Recipe, load_recipe, with_defaults

RECIPES = sorted((Path(training.__file__).parent / "recipes").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    file = folder / "recipe.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_shipped_recipe_is_valid(file):
    assert isinstance(load_recipe(file), Recipe)


def test_a_recipe_lists_only_what_differs_from_the_defaults(tmp_path):
    recipe = load_recipe(write(tmp_path, "lr = 0.5"))
    assert recipe == Recipe(lr=0.5)


def test_an_unknown_key_is_an_error_that_names_it_and_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="learning_rate.*known:.* lr,"):
        load_recipe(write(tmp_path, "learning_rate = 0.1"))


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("lr = 'fast'", "expected float"),
        ("flip = true", "expected float"),
        ("batch_size = 2.5", "expected int"),
        ("network = 'vgg'", "use one of"),
        ("optimizer = 'lion'", "use sgd"),
        ("schedule = 'warp'", "use one-cycle"),
        ("attention_loss = 'mine'", "use code or paper"),
        ("teacher = 'mfn'", "expected list"),
        ("crop = true", "at most detail_px, 48"),
        ("sizes = [48, 112]", "one entry for each phase"),
        ("lr = = 1", "not valid TOML"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_what_is_wanted(tmp_path, text, complaint):
    with pytest.raises(ValueError, match=complaint):
        load_recipe(write(tmp_path, text))


def test_overrides_take_toml_values_and_bare_words(tmp_path):
    file = write(tmp_path, "lr = 0.5")
    recipe = load_recipe(file, ["lr=3", "network=mfn", "sizes=[64]", "grey=false"])
    assert (recipe.lr, recipe.network, recipe.sizes, recipe.grey) == (3.0, "mfn", [64], False)


def test_an_override_without_a_value_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="key=value"):
        load_recipe(write(tmp_path, ""), ["lr"])


def test_a_missing_recipe_says_where_recipes_are(tmp_path):
    with pytest.raises(ValueError, match="training/recipes"):
        load_recipe(tmp_path / "none.toml")


def test_the_recipe_in_a_card_can_be_loaded_again():
    recipe = Recipe(lr=0.5, sizes=[48, 112], epochs=[1.0, 2.0], stem_strides=[2, 1])
    assert Recipe(**recipe.to_dict()) == recipe


def test_a_recipe_of_an_earlier_version_loads_with_the_new_keys_at_their_defaults():
    stored = Recipe(network="mfn", sizes=[48, 112], epochs=[4.0, 0.6], stem_strides=[1, 1])
    added = (
        "attention_loss crop decay_every decay_start gamma nesterov sam_rho teacher "
        "teacher_sees teacher_temperature teacher_weight test_flip test_size"
    )
    known = {k: v for k, v in stored.to_dict().items() if k not in added.split(" ")}
    assert len(known) == len(stored.to_dict()) - 13
    assert Recipe(**known) == stored


def test_what_was_stored_before_there_was_a_key_is_still_the_same_recipe():
    recipe = Recipe(lr=0.5)
    stored = {key: value for key, value in recipe.to_dict().items() if key != "teacher_sees"}
    assert with_defaults(stored) == recipe.to_dict()
    assert with_defaults(stored) != Recipe(lr=0.5, teacher_sees="plain").to_dict()
    assert with_defaults({**stored, "a key of a later version": 1}) != recipe.to_dict()


def test_the_input_size_is_the_last_phases():
    recipe = Recipe(sizes=[48, 96], epochs=[1.0, 1.0], stem_strides=[1, 1])
    assert recipe.preprocessing.size == 96


@pytest.mark.parametrize(
    "line",
    [
        "batch_size = 0",
        "batch_size = true",
        "sizes = ['a']",
        "sizes = [0]",
        "epochs = [0.0]",
        "seed = -1",
        "ema_decay = 2.0",
        "stem_strides = [2]",
    ],
)
def test_a_value_that_no_run_can_have_is_refused_by_name(tmp_path, line):
    with pytest.raises(ValueError, match=line.partition(" ")[0]):
        load_recipe(write(tmp_path, line))


def test_whole_numbers_do_for_epochs_and_a_window_fits_the_whole_detail(tmp_path):
    recipe = load_recipe(write(tmp_path, "epochs = [2]\ncrop = true\ndetail_px = 0"))
    assert recipe.epochs == [2.0] and type(recipe.epochs[0]) is float
