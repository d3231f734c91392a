"""Whether networks agree, in one plain sentence: for the page and the command line."""

from fer_models.analysis import DISPLAY_NAMES, NetworkResult
from fer_models.words import Words, load_words


def judge_agreement(networks: dict[str, NetworkResult]) -> str:
    """How a page marks the sentence: "agree" or "disagree", or "info" where none is sure.

    Without any network it is a "problem".
    """
    if not networks:
        return "problem"
    if all(result.unsure for result in networks.values()):
        return "info"
    return "agree" if len({result.expression for result in networks.values()}) == 1 else "disagree"


def describe_agreement(networks: dict[str, NetworkResult], words: Words | None = None) -> str:
    """Whether the networks agree, on what, and how sure each is; English unless told."""
    words = words or load_words()
    if not networks:
        return words("agreement.none")
    answers = {DISPLAY_NAMES.get(name, name): result for name, result in networks.items()}
    said = {result.expression for result in answers.values()}
    if len(said) == 1:
        sentence = words(
            {1: "agreement.one", 2: "agreement.two", 3: "agreement.three"}.get(
                len(answers), "agreement.many"
            ),
            count=len(answers),
            network=next(iter(answers)),
            expression=words.expression(said.pop()),
            numbers=words.join(f"{result.probability:.2f}" for result in answers.values()),
        )
    else:
        parts = [
            words(
                "agreement.answer",
                network=name,
                expression=words.expression(result.expression),
                number=f"{result.probability:.2f}",
            )
            for name, result in answers.items()
        ]
        sentence = words("agreement.disagree", answers=words.join(parts))
    unsure = [name for name, result in answers.items() if result.unsure]
    if unsure and len(unsure) == len(answers) > 1:
        sentence += words.gap + words("agreement.nobody_sure")
    elif unsure:
        sentence += words.gap + words("agreement.unsure", networks=words.join(unsure))
    return sentence
