"""Waits for what a page shows; not a test file itself.

Gradio mounts an element late, or anew: a wait holds out for one that is not there, too.
"""


def wait_for_another_picture(tab, place: str, before: str, timeout_ms: int = 60_000) -> None:
    """Wait until the picture at `place` has another address than `before`."""
    another = "([place, no]) => ![undefined, no].includes(document.querySelector(place)?.src)"
    tab.wait_for_function(another, arg=[place, before], timeout=timeout_ms)


def wait_for_picture(tab, place: str, address: str) -> None:
    same = "([place, address]) => document.querySelector(place)?.src === address"
    tab.wait_for_function(same, arg=[place, address], timeout=60_000)


def wait_for_input(tab, place: str, value: str) -> None:
    """Wait until the field at `place` holds `value`."""
    holds = "([place, value]) => document.querySelector(place)?.value === value"
    tab.wait_for_function(holds, arg=[place, value], timeout=60_000)


def wait_for_file(tab, place: str, name: str) -> None:
    """Wait until a file is in the list at `place`: its name is there while it still comes, too.

    A button that is pressed at once may still be without it, as gradio hands it on a moment later.
    """
    there = f"{place} .file-preview tr:has-text('{name}') a"
    tab.wait_for_selector(there, timeout=60_000)
    tab.wait_for_timeout(1_000)
