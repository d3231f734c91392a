"""A plain HTTP client of the running page: what a hostile visitor has."""

import json

import httpx
import pytest

LIMIT_S = 120


class Visitor:
    """Uploads files and calls `/analyze` by hand, without gradio's own client."""

    def __init__(self, url: str):
        self.http = httpx.Client(base_url=url, timeout=LIMIT_S)

    def upload(self, name: str, content: bytes) -> httpx.Response:
        return self.http.post("gradio_api/upload", files={"files": (name, content)})

    def analyze(self, file: dict) -> tuple[str, object]:
        """The last event's name ("complete" or "error") and its data."""
        body = {"data": [file, "its own answer", False]}
        asked = self.http.post("gradio_api/call/analyze", json=body)
        asked.raise_for_status()
        answer = self.http.get(f"gradio_api/call/analyze/{asked.json()['event_id']}").text
        lines = [line for line in answer.splitlines() if line]
        event = lines[-2].removeprefix("event: ")
        return event, json.loads(lines[-1].removeprefix("data: "))

    def analyze_bytes(self, name: str, content: bytes) -> tuple[str, object]:
        path = self.upload(name, content).json()[0]
        return self.analyze({"path": path, "meta": {"_type": "gradio.FileData"}})


@pytest.fixture
def visitor(page_url):
    one = Visitor(page_url)
    yield one
    one.http.close()
