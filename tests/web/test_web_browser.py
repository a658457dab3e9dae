"""The page itself in a browser without a window: from the files to the zip file.

To run it: apt-get install chromium, or playwright install chromium. CI does (`.ci/run`).
"""

import io
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from web_client import Client, FakePredictor, discs, png, running

from cosseg_jax.web.limits import Limits
from cosseg_jax.web.sessions import UserSessions

playwright = pytest.importorskip(
    "playwright.sync_api",
    reason="needs a browser: pip install playwright && playwright install chromium",
)

pytestmark = pytest.mark.slow
CHROMIUM = Path("/usr/bin/chromium")  # of Debian
PATIENCE_MS = 180_000  # a busy machine of two cores has taken more than one minute
UNLIKE = "they look like nothing the network was trained on"
PHONE: dict[str, Any] = dict(viewport=dict(width=390, height=844), has_touch=True, is_mobile=True)
OPAQUE = """
canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let clear = 0;
  for (let k = 3; k < data.length; k += 4) clear += data[k] < 128;
  return 4 * clear / data.length;
}
"""  # the share of a cut-out's canvas through which the photo is seen


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = launched(driver, str(CHROMIUM)) or launched(driver, None)
        if started is None:
            pytest.skip(
                "found no browser: apt-get install chromium, or playwright install chromium"
            )
        yield started
        started.close()


def launched(driver: Any, path: str | None) -> Any:
    """The browser at a path, or playwright's own; None if it does not start."""
    try:
        return driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
    except playwright.Error:
        return None


@pytest.fixture(scope="module")
def small(network) -> Iterator[Client]:
    """A server with the quick start's network, which takes six photos of 2 MB."""
    network([png()] * 5)  # compiles, so that no test has to wait for it
    with running(network, Limits(photos=6, file_bytes=2_000_000)) as client:
        yield client


@pytest.fixture
def page(browser, small) -> Iterator[Any]:
    """The page, just opened on a desktop; a script error or a foreign request fails the test."""
    yield from opened(browser, small, width=1280, height=900)


def opened(browser: Any, client: Client, **viewport: int) -> Iterator[Any]:
    context = browser.new_context(viewport=viewport)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.extend(complaint(message)))
    page.on("request", lambda sent: faults.extend(foreign(sent.url, client.port)))
    page.goto(f"http://127.0.0.1:{client.port}/")
    yield page
    context.close()
    assert faults == []


def complaint(message: Any) -> list[str]:
    """The text of an error in the console; refused uploads are part of the tests."""
    is_refusal = message.text.startswith("Failed to load resource")
    return [message.text] if message.type == "error" and not is_refusal else []


def foreign(address: str, port: int) -> list[str]:
    """The address, if it is not one of the page's server."""
    return [] if address.startswith((f"http://127.0.0.1:{port}/", "data:")) else [address]


def files() -> list[dict[str, Any]]:
    return [file_of(name, content) for name, content in discs().items()]


def file_of(name: str, content: bytes) -> dict[str, Any]:
    return dict(name=name, mimeType="image/png", buffer=content)


def choose(page: Any, *chosen: dict[str, Any]) -> None:
    page.set_input_files("#files", list(chosen))


def wait_for(page: Any, status: str) -> None:
    """Waits until nothing is computed any more, and checks how the status begins."""
    page.locator("#photos[aria-busy=false]").wait_for(state="attached")
    assert page.locator("#status").inner_text().startswith(status)


def seen(page: Any, number: int) -> float:
    """The share of a photo's cut-out that is drawn, after the next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    return page.locator("canvas").nth(number).evaluate(OPAQUE)


def set_threshold(page: Any, percent: int) -> None:
    page.locator("#threshold").fill(str(percent))


def test_from_photos_to_masks(page):
    """Files, overlay, slider, a prompt, a photo left out, and the zip file."""
    choose(page, *files())
    wait_for(page, "5 photos segmented")
    assert page.locator(".says").all_inner_texts() == [
        f"present, {share} %" for share in shares(page)
    ]
    page.check("[name=view][value=cutout]", force=True)
    at_half = seen(page, 0)
    assert 0.03 < at_half < 0.4

    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    set_threshold(page, 20)
    assert seen(page, 0) > at_half
    set_threshold(page, 99)
    assert seen(page, 0) == 0
    assert page.locator(".says").first.inner_text().startswith("not found")
    set_threshold(page, 60)
    assert 0 < seen(page, 0) < at_half
    assert asked == []

    page.locator(".stage").nth(0).click(position={"x": 55, "y": 175})
    wait_for(page, "5 photos segmented")
    assert page.locator(".marks .prompt").count() == 1
    page.locator(".clear").nth(0).click()
    assert page.locator(".marks .prompt").count() == 0

    page.locator(".leave").nth(2).click()
    wait_for(page, "4 photos segmented")
    assert page.locator(".says").nth(2).inner_text() == "left out"

    with page.expect_download() as waiting:
        page.click("#download")
    with zipfile.ZipFile(waiting.value.path()) as file:
        names = [f"disc-dot-{k}" for k in (1, 2, 4, 5)]
        masks = [f"masks/{name}.png" for name in names]
        cut_outs = [f"cutouts/{name}.png" for name in names]
        assert sorted(file.namelist()) == sorted([*masks, *cut_outs, "group.json"])
        alpha = np.asarray(Image.open(io.BytesIO(file.read(cut_outs[0]))))[..., 3]
        mask = np.asarray(Image.open(io.BytesIO(file.read(masks[0]))))
    np.testing.assert_array_equal(alpha, mask)
    assert np.mean(mask == 255) == pytest.approx(seen(page, 0), abs=0.005)


@pytest.mark.parametrize(
    ("photos", "confidence", "sheep", "said"),
    [
        (2, 0.93, 0.75, "2 photos segmented; it looks like “sheep” (75 %)."),
        (2, None, 0.75, "2 photos segmented; it looks like “sheep” (75 %)."),
        (2, 0.93, 0.1, "2 photos segmented."),
        (2, 0.33, 0.0, f"2 photos segmented; {UNLIKE}, so check the masks."),
        (2, 0.45, 0.75, "2 photos segmented; it may be “sheep”, but check the masks."),
        (1, 0.45, 0.75, "1 photo segmented; it may be “sheep”, but check the mask."),
        (
            *(1, 0.33, 0.0),
            "1 photo segmented; it looks like nothing the network was trained on, "
            "so check the mask.",
        ),
    ],
)
def test_doubt_is_told(browser, photos, confidence, sheep, said):
    predictor = FakePredictor()
    predictor.categories, predictor.confidence = {"sheep": sheep}, confidence
    with running(predictor) as client:
        for page in opened(browser, client, width=1280, height=900):
            choose(page, *files()[:photos])
            wait_for(page, said)
            assert page.locator("#status").inner_text() == said


def test_a_photo_that_was_just_left_out_is_not_in_the_zip(page):
    """Playwright clicks as soon as the button can be clicked."""
    choose(page, *files()[:3])
    wait_for(page, "3 photos segmented")
    page.locator(".leave").nth(1).click()
    assert page.locator("#download").is_disabled()
    with page.expect_download() as waiting:
        page.click("#download")
    with zipfile.ZipFile(waiting.value.path()) as file:
        masks = {name for name in file.namelist() if name.startswith("masks/")}
    assert masks == {"masks/disc-dot-1.png", "masks/disc-dot-3.png"}


def test_a_closed_page_gives_up_its_session(browser, monkeypatch):
    left, leave = threading.Event(), UserSessions.leave
    monkeypatch.setattr(UserSessions, "leave", lambda *of: (leave(*of), left.set()))
    with running(FakePredictor(), Limits(left_s=0.5)) as client:
        for page in opened(browser, client, width=1280, height=900):
            choose(page, files()[0])
            wait_for(page, "1 photo segmented")
            client.id = page.evaluate("sessionStorage.getItem('cosseg-session')")
            assert client.own("GET", "").status == 200
            page.goto("about:blank")
            assert left.wait(PATIENCE_MS / 1000)
            time.sleep(1)
            assert client.own("GET", "").status == 404


def test_a_busy_server_is_asked_again(browser, monkeypatch):
    monkeypatch.setattr("cosseg_jax.web.server.RETRY_S", 1)
    with running(FakePredictor(), Limits(sessions=1)) as client:
        first = Client(client.port).begin()
        first.add(png())
        for page in opened(browser, client, width=1280, height=900):
            choose(page, files()[0])
            page.wait_for_function("document.getElementById('status').textContent.includes('busy')")
            first.own("DELETE", "")
            wait_for(page, "1 photo segmented")


def shares(page: Any) -> list[int]:
    widths = page.locator(".bar span").evaluate_all("bars => bars.map(b => b.style.width)")
    return [round(float(width.removesuffix("%"))) for width in widths]


def test_a_box_is_drawn_by_dragging(browser):
    predictor = FakePredictor()
    with running(predictor) as client:
        for page in opened(browser, client, width=1280, height=900):
            choose(page, *files()[:2])
            wait_for(page, "2 photos segmented")
            stage = page.locator(".stage").nth(1).bounding_box()
            corners = [(0.25, 0.25), (0.75, 0.5)]
            (x, y), (right, bottom) = [
                (stage["x"] + stage["width"] * a, stage["y"] + stage["height"] * b)
                for a, b in corners
            ]
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(right, bottom, steps=4)
            page.mouse.up()
            page.wait_for_selector(".marks .prompt.box")
            wait_for(page, "2 photos segmented")
        (prompt,) = predictor.calls[-1]["prompts"]
        assert prompt.image == 1
        assert prompt.box == pytest.approx((80, 80, 240, 160), abs=2)


def test_marks_add_up_in_several_photos_and_are_undone(browser):
    """Clicks, Shift-clicks, "Not in this photo", a reload, and undo one after the other."""
    predictor = FakePredictor()

    def prompts() -> list[tuple]:
        wait_for(page, "3 photos segmented")
        found = predictor.calls[-1]["prompts"]
        return [(p.image, len(p.positive), len(p.negative), p.absent) for p in found]

    with running(predictor) as client:
        for page in opened(browser, client, width=1280, height=900):
            choose(page, *files()[:3])
            wait_for(page, "3 photos segmented")
            stages = page.locator(".stage")
            stages.nth(0).click(position={"x": 40, "y": 60})
            assert prompts() == [(0, 1, 0, False)]
            stages.nth(0).click(position={"x": 120, "y": 60}, modifiers=["Shift"])
            assert prompts() == [(0, 1, 1, False)]
            assert page.locator(".prompt.negative").count() == 1
            stages.nth(1).click(position={"x": 40, "y": 60})
            page.locator(".absence").nth(2).click()
            assert prompts() == [(0, 1, 1, False), (1, 1, 0, False), (2, 0, 0, True)]
            page.click("#undo")
            assert prompts() == [(0, 1, 1, False), (1, 1, 0, False)]
            page.reload()
            wait_for(page, "3 photos segmented")
            assert page.locator(".marks .prompt").count() == 3
            assert page.locator("#undo").is_disabled()
            page.locator(".clear").nth(0).click()
            assert prompts() == [(1, 1, 0, False)]


def test_a_mask_is_said_to_be_right_wrong_or_empty(browser):
    """The left half of every photo is found; each verdict is taken back by undo."""
    predictor = FakePredictor()
    with running(predictor) as client:
        for page in opened(browser, client, width=1280, height=900):
            choose(page, *files()[:3])
            wait_for(page, "3 photos segmented")
            page.locator(".right").nth(0).click()
            page.wait_for_selector(".right[aria-pressed=true]")
            wait_for(page, "3 photos segmented")
            (prompt,) = predictor.calls[-1]["prompts"]
            np.testing.assert_array_equal(prompt.mask, np.tile(np.arange(320) < 160, (320, 1)))

            page.locator(".wrong").nth(1).click()
            wait_for(page, "3 photos segmented")
            right, wrong = predictor.calls[-1]["prompts"]
            assert right.mask is not None
            np.testing.assert_array_equal(wrong.excluded, prompt.mask)

            page.reload()
            wait_for(page, "3 photos segmented")
            pressed = "each => each.map(e => e.ariaPressed)"
            assert page.locator(".right").evaluate_all(pressed) == ["true", "false", "false"]
            page.locator(".right").nth(0).click()
            wait_for(page, "3 photos segmented")
            assert [prompt.image for prompt in predictor.calls[-1]["prompts"]] == [1]
            page.click("#undo")
            wait_for(page, "3 photos segmented")
            assert [prompt.image for prompt in predictor.calls[-1]["prompts"]] == [0, 1]

            set_threshold(page, 95)  # nothing is found any more
            assert page.locator(".wrong").nth(2).is_disabled()
            page.locator(".right").nth(2).click()
            wait_for(page, "3 photos segmented")
            assert predictor.calls[-1]["prompts"][-1].absent


def test_on_a_phone_a_tap_marks_what_it_is_not(browser):
    predictor = FakePredictor()
    with running(predictor) as client:
        context = browser.new_context(**PHONE)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{client.port}/")
        choose(page, files()[0])
        wait_for(page, "1 photo segmented")
        page.tap("#exclude")
        page.locator(".stage").tap(position={"x": 60, "y": 60})
        page.wait_for_selector(".prompt.negative")
        wait_for(page, "1 photo segmented")
        context.close()
        assert len(predictor.calls[-1]["prompts"][0].negative) == 1


def test_keys_set_a_point_too(browser):
    predictor = FakePredictor()
    with running(predictor) as client:
        for page in opened(browser, client, width=1280, height=900):
            choose(page, files()[0])
            wait_for(page, "1 photo segmented")
            page.locator(".stage").focus()
            for key in ("Enter", "ArrowRight", "Shift+ArrowUp", "Enter"):
                page.keyboard.press(key)
            page.wait_for_selector(".marks .prompt")
            wait_for(page, "1 photo segmented")
        (point,) = predictor.calls[-1]["prompts"][0].positive
        assert point == pytest.approx((0.52 * 320, 0.42 * 320), abs=0.5)


def test_unreadable_files_are_named_and_the_rest_is_segmented(page):
    bad = file_of("letter.png", b"no image")
    big = file_of("big.png", bytes(2_000_001))
    choose(page, bad, big, *files()[:2])
    wait_for(page, "2 photos segmented")
    notices = page.locator("#notices p").all_inner_texts()
    assert [notice.partition(" ")[0] for notice in notices] == ["big.png", "letter.png"]


def test_a_group_survives_a_reload(page):
    page.click("[data-example=car]")
    wait_for(page, "5 photos segmented")
    page.locator(".leave").nth(1).click()
    wait_for(page, "4 photos segmented")
    page.reload()
    wait_for(page, "4 photos segmented")
    assert page.locator(".says").nth(1).inner_text() == "left out"
    page.click("#restart")
    page.reload()
    assert page.locator("#choose").is_visible()


@pytest.mark.parametrize("size", [(900, 200), (200, 900), (300, 200)])
def test_photos_keep_their_shape(page, size):
    choose(page, file_of("long.png", png(*size)))
    wait_for(page, "1 photo segmented")
    box = page.locator(".stage").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.01)


def test_very_long_photos_are_squeezed_so_that_one_can_click_on_them(browser):
    predictor = FakePredictor()
    with running(predictor) as client:
        for page in opened(browser, client, width=1280, height=900):
            long = {"wide.png": (2000, 5), "high.png": (5, 2000)}
            choose(page, *(file_of(name, png(*size)) for name, size in long.items()))
            wait_for(page, "2 photos segmented")
            for number, ratio in enumerate((10, 1 / 6)):
                box = page.locator(".stage").nth(number).bounding_box()
                assert box["width"] / box["height"] == pytest.approx(ratio, rel=0.01)
            page.locator(".stage").nth(0).click()
            page.wait_for_selector(".marks .prompt")
            wait_for(page, "2 photos segmented")
        (point,) = predictor.calls[-1]["prompts"][0].positive
        assert point == pytest.approx((1000, 2.5), rel=0.05)


@pytest.mark.parametrize("width", [320, 390, 768])
def test_the_whole_status_is_visible(browser, small, width):
    for page in opened(browser, small, width=width, height=844):
        said = f"15 photos segmented; {UNLIKE}, so check the masks."
        page.click("[data-example=car]")
        wait_for(page, "5 photos segmented")
        page.locator("#status").evaluate("(node, said) => (node.textContent = said)", said)
        for side in ("Height", "Width"):
            fits = f"node => node.scroll{side} <= node.client{side} + 1"
            assert page.locator("#status").evaluate(fits)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(browser, small, width):
    for page in opened(browser, small, width=width, height=844):
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if page.locator("#welcome").is_visible():
                page.click("[data-example=car]")
                wait_for(page, "5 photos segmented")
        page.click("#restart")
        page.wait_for_timeout(200)


def test_every_control_has_a_name(page):
    page.click("[data-example=car]")
    wait_for(page, "5 photos segmented")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("#work button, #work input, #work [role=button]")]
            .filter((each) => !(each.textContent.trim() || each.ariaLabel || each.labels?.length))
            .map((each) => each.outerHTML)"""
    )
    assert nameless == []
