"""The words of the page and the command line: one TOML file a language, the same keys in each."""

import functools
import tomllib
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent
LANGUAGES = {"en": "English", "zh": "中文"}


class Words:
    """One language's words.

    `words("compare.target")` is the entry `target` of the section `[compare]`; keyword arguments
    fill its `{placeholders}`.
    """

    def __init__(self, language: str):
        self.language = language
        self._sections = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))

    def __call__(self, key: str, **values) -> str:
        section, _, entry = key.partition(".")
        text = self._sections[section][entry]
        return text.format(**values) if values else text

    def section(self, name: str) -> dict[str, str]:
        """All entries of a section, in the file's order."""
        return dict(self._sections[name])

    @property
    def gap(self) -> str:
        """What stands between two sentences; Chinese has nothing there."""
        return self("page.sentence_gap")

    def sections(self) -> tuple[str, ...]:
        return tuple(self._sections)

    def expression(self, name: str) -> str:
        return self._sections["expressions"].get(name, name)

    def choices(self, prefix: str, names: Iterable[str]) -> list[tuple[str, str]]:
        """What a menu shows for each name, the entry `prefix + name`, and the name itself."""
        return [(self(prefix + name), name) for name in names]

    def join(self, items) -> str:
        """Items in a row, with this language's comma."""
        return self._sections["page"]["comma"].join(items)


@functools.cache
def load_words(language: str = "en") -> Words:
    """The words of a language.

    Raises:
        ValueError: if there is no file for it.
    """
    if language not in LANGUAGES:
        raise ValueError(f"No words for {language!r}; there are {', '.join(LANGUAGES)}.")
    return Words(language)
