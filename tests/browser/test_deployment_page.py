"""The page as docs/deploy.md sets it up: under a sub-path of a proxy, and rendered by a server."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
import urllib.request

import httpx
import pytest
import uvicorn
from gradio_client import Client, handle_file
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from tests.browser.test_page import wait_for_results
from tests.conftest import EXAMPLE
from tests.service.page_process import free_port, running_page

SUB_PATH = "/faces"
# What HTTP has each connection say for itself.
PER_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "upgrade"}
NODE_MAJOR = 20


def sub_path_proxy(upstream: str, outside: list[str]) -> Starlette:
    """As docs/deploy.md has nginx: the sub-path is cut off, answers are passed on as they come.

    Args:
        outside: gets the paths that were asked for beyond the sub-path.
    """
    client = httpx.AsyncClient(base_url=upstream, timeout=None)

    async def forward(request: Request):
        path = request.url.path
        if path == "/favicon.ico":  # browsers ask any server for it
            return PlainTextResponse(status_code=204)
        if not path.startswith(f"{SUB_PATH}/"):
            outside.append(path)
            return PlainTextResponse("not the page's", 404)
        asked = client.build_request(
            request.method,
            httpx.URL(path=path.removeprefix(SUB_PATH), query=request.url.query.encode()),
            headers=[(k, v) for k, v in request.headers.items() if k not in PER_CONNECTION],
            content=await request.body(),
        )
        answer = await client.send(asked, stream=True)
        headers = {k: v for k, v in answer.headers.items() if k not in PER_CONNECTION}
        closing = BackgroundTask(answer.aclose)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, headers, None, closing)

    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
    return Starlette(routes=[Route("/{path:path}", forward, methods=methods)])


@contextlib.contextmanager
def served(app: Starlette):
    """The address of an app in a thread."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


@contextlib.contextmanager
def opened(chromium, url: str):
    """A browser tab; its console must show no error."""
    tab = chromium.new_page(viewport={"width": 1440, "height": 1000})
    errors = []

    def note(message) -> None:
        if message.type == "error":
            errors.append(f"{message.text} {message.location['url']}")

    tab.on("console", note)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(url, timeout=120_000)
    tab.wait_for_selector("#card-ddamfn", timeout=120_000)
    yield tab
    tab.close()
    assert errors == []


def assert_analyses(tab) -> None:
    tab.locator("#examples img[src*=eileen_collins]").click()
    wait_for_results(tab)
    assert "happiness" in tab.locator("#agreement").inner_text()


def test_behind_a_proxy_the_page_lives_under_its_sub_path_alone(chromium, tmp_path):
    outside = []
    with (
        running_page(tmp_path, GRADIO_ROOT_PATH=SUB_PATH) as page,
        served(sub_path_proxy(page.url, outside)) as address,
    ):
        with opened(chromium, f"{address}{SUB_PATH}/") as tab:
            assert_analyses(tab)
            tab.locator("#language").click()
            tab.wait_for_url(f"{address}{SUB_PATH}/zh")
            tab.wait_for_selector("#card-ddamfn", timeout=60_000)
        client = Client(f"{address}{SUB_PATH}/", verbose=False)
        answer = client.predict(
            handle_file(str(EXAMPLE)), "its own answer", False, api_name="/analyze"
        )
        assert answer["faces"][0]["networks"]["ddamfn"]["expression"] == "happiness"
        assert outside == []
        assert httpx.get(f"{address}/config").status_code == 404
        assert outside == ["/config"]  # the proxy would have told


@pytest.fixture
def node() -> str:
    """The program that renders the page where server-side rendering is on."""
    program = os.environ.get("GRADIO_NODE_PATH") or shutil.which("node")
    if program is None:
        pytest.skip("no Node here; install it, or give its path as GRADIO_NODE_PATH")
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    if int(version.strip("v\n").partition(".")[0]) < NODE_MAJOR:
        pytest.skip(f"Node is {version.strip()}; {NODE_MAJOR} or later is needed")
    return program


def test_with_server_side_rendering_the_page_comes_written_and_works(chromium, tmp_path, node):
    settings = {"GRADIO_SSR_MODE": "true", "GRADIO_NODE_PATH": node}
    with running_page(tmp_path, **settings) as page:
        with urllib.request.urlopen(page.url, timeout=60) as answer:
            assert '<div class="gradio-container' in answer.read().decode()
        with opened(chromium, page.url) as tab:
            assert_analyses(tab)
        assert "with SSR" in page.log.read_text()
