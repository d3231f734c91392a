"""Many visitors at once, and memory over many pictures: python -m pytest -m load -s"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
from gradio_client import Client, handle_file

from fer_models.report import analysis_report
from fer_models.ui.compare import example_files
from fer_models.ui.picture import read_picture
from tests.service.page_process import resident_mb

pytestmark = pytest.mark.load
VISITORS = 30
ANALYSES = 500
WARM_UP = 60
ANALYSES_EACH = 5  # by one client; then a new one comes
MAX_GROWTH_MB = 40  # 3 were measured


def ask(client: Client, file: str) -> dict:
    return client.predict(handle_file(file), "its own answer", False, api_name="/analyze")


def same_answer(given: dict, expected: dict) -> bool:
    """Whether every network gives every face the expected probabilities."""
    pairs = zip(given["faces"], expected["faces"], strict=True)
    return all(
        got["networks"].keys() == wanted["networks"].keys()
        and np.allclose(
            list(got["networks"][name]["probabilities"].values()),
            list(wanted["networks"][name]["probabilities"].values()),
            atol=1e-3,
        )
        for got, wanted in pairs
        for name in wanted["networks"]
    )


def test_thirty_visitors_at_once_get_their_own_right_answers(server, analyzer):
    files = example_files()
    expected = {file: analysis_report(analyzer.analyze(read_picture(file))) for file in files}

    clients = [Client(server.url, verbose=False) for _ in range(VISITORS)]
    together = threading.Barrier(VISITORS)

    def visit(number: int) -> tuple[bool, float]:
        file = files[number % len(files)]
        together.wait()
        began = time.monotonic()
        answer = ask(clients[number], file)
        return same_answer(answer, expected[file]), time.monotonic() - began

    ask(clients[0], files[0])
    with ThreadPoolExecutor(VISITORS) as pool:
        results = list(pool.map(visit, range(VISITORS)))
    for client in clients:
        client.close()
    seconds = np.array([taken for _, taken in results])
    print(
        f"\n{VISITORS} visitors at once: median {np.median(seconds):.1f} s, "
        f"95th percentile {np.percentile(seconds, 95):.1f} s"
    )
    assert all(right for right, _ in results)
    for one, other in combinations(expected.values(), 2):  # another's answer would be noticed
        assert not same_answer(one, other)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(server):
    files = example_files()

    def visit(first: int) -> None:
        client = Client(server.url, verbose=False)
        for number in range(first, first + ANALYSES_EACH):
            ask(client, files[number % len(files)])
        client.close()

    def ask_often(times: int) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(visit, range(0, times, ANALYSES_EACH)))

    ask_often(WARM_UP)
    before = resident_mb(server.process.pid)
    ask_often(ANALYSES)
    after = resident_mb(server.process.pid)
    print(f"\nmemory {before:.0f} MB, after {ANALYSES} more analyses {after:.0f} MB")
    assert after - before < MAX_GROWTH_MB
