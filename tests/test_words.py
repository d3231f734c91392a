"""Every language has the same words, with the same places to fill in."""

import re
import string

import pytest

from fer_models.expressions import EXPRESSIONS
from fer_models.words import LANGUAGES, load_words

ENGLISH = load_words("en")
OTHERS = [load_words(language) for language in LANGUAGES if language != "en"]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("words", OTHERS, ids=lambda words: words.language)
def test_every_language_has_every_word(words):
    assert words.sections() == ENGLISH.sections()
    for section in ENGLISH.sections():
        assert list(words.section(section)) == list(ENGLISH.section(section))


@pytest.mark.parametrize("words", OTHERS, ids=lambda words: words.language)
def test_the_same_places_are_filled_in(words):
    for section in ENGLISH.sections():
        for key, text in ENGLISH.section(section).items():
            assert placeholders(words(f"{section}.{key}")) == placeholders(text), key


@pytest.mark.parametrize("words", OTHERS, ids=lambda words: words.language)
def test_no_word_was_left_in_english(words):
    same = {
        f"{section}.{key}"
        for section in ENGLISH.sections()
        if section != "methods"  # names of methods stay as they are
        for key, text in ENGLISH.section(section).items()
        if words(f"{section}.{key}") == text and re.search("[a-z]{3}", re.sub("{.*?}", "", text))
    }
    assert not same


def test_every_expression_has_a_name_in_every_language():
    for language in LANGUAGES:
        assert tuple(load_words(language).section("expressions")) == EXPRESSIONS


def test_a_language_without_words_is_refused():
    with pytest.raises(ValueError, match="en, zh"):
        load_words("xx")
