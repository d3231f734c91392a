"""A plain HTTP client of the running page: what a hostile visitor has."""

import json
import uuid

import httpx
import pytest

LIMIT_S = 120


class Visitor:
    """Uploads files, calls `/analyze` and presses buttons by hand, without gradio's own client.

    All of it is one visit, as in one browser's tab.
    """

    def __init__(self, url: str):
        self.http = httpx.Client(base_url=url, timeout=LIMIT_S)
        self.session = uuid.uuid4().hex

    def upload(self, name: str, content: bytes) -> httpx.Response:
        return self.http.post("gradio_api/upload", files={"files": (name, content)})

    def upload_file(self, name: str, content: bytes) -> dict:
        """An upload as a component's value."""
        return {"path": self.upload(name, content).json()[0], "meta": {"_type": "gradio.FileData"}}

    def analyze(self, file: dict) -> tuple[str, object]:
        """The last event's name ("complete" or "error") and its data."""
        body = {"data": [file, "its own answer", False], "session_hash": self.session}
        asked = self.http.post("gradio_api/call/analyze", json=body)
        asked.raise_for_status()
        answer = self.http.get(f"gradio_api/call/analyze/{asked.json()['event_id']}").text
        lines = [line for line in answer.splitlines() if line]
        event = lines[-2].removeprefix("event: ")
        return event, json.loads(lines[-1].removeprefix("data: "))

    def analyze_bytes(self, name: str, content: bytes) -> tuple[str, object]:
        return self.analyze(self.upload_file(name, content))

    def use(self, elem_id: str, event: str, values: dict) -> str:
        """Everything that the page answers to an event of a component, to its end.

        Args:
            values: by the elem_id of the components that the event reads; others are as at first.
        """
        config = self.http.get("config").json()
        components = {part["id"]: part for part in config["components"]}

        def name(number: int) -> str | None:
            return components[number]["props"].get("elem_id")

        used = next(
            known
            for known in config["dependencies"]
            if any(name(n) == elem_id and e == event for n, e in known["targets"] if n is not None)
        )
        data = [values.get(name(n), components[n]["props"].get("value")) for n in used["inputs"]]
        visit = {"fn_index": used["id"], "session_hash": self.session}
        self.http.post("gradio_api/queue/join", json={"data": data, **visit}).raise_for_status()
        answer = self.http.get("gradio_api/queue/data", params=visit).text
        messages = [json.loads(line.removeprefix("data: ")) for line in answer.splitlines() if line]
        assert any(message["msg"] == "process_completed" for message in messages)
        return str(messages)


@pytest.fixture
def visitor(page_url):
    one = Visitor(page_url)
    yield one
    one.http.close()
