"""A network's column where its weights are damaged, in Chromium."""

import pytest

from fer_models.analysis import PAGE_NETWORKS
from tests.browser.test_deployment_page import opened
from tests.service.page_process import running_page
from tests.service.test_damaged_weights import DAMAGED, copy_page

pytestmark = pytest.mark.hostile


def test_a_truncated_networks_column_names_the_file_and_the_others_answer(chromium, tmp_path):
    copy = copy_page(tmp_path, "truncated")
    with running_page(tmp_path, copy) as page, opened(chromium, page.url) as tab:
        tab.locator("#examples img[src*=eileen_collins]").click()
        for name in PAGE_NETWORKS:
            if name != DAMAGED:
                tab.wait_for_selector(f"#card-{name} img", timeout=120_000)
        tab.wait_for_selector(f"#card-{DAMAGED} >> text={DAMAGED}.safetensors", timeout=60_000)
        assert tab.locator(f"#card-{DAMAGED} img").count() == 0
        assert str(tmp_path) not in tab.locator(f"#card-{DAMAGED}").inner_text()
