"""Pages in a browser: Chromium, playwright and LiteRT.js, where all three are there."""

import contextlib
import functools
import http.server
import re
import shutil
import threading

import cv2
import keras
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

from synergynet_tf.cli import predict
from synergynet_tf.data.images import read_image
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.export.web import page as web_page
from synergynet_tf.export.web.runtime import find_runtime
from tests.export import web_models
from tests.export.models import random_pixels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
    ),
]
WAIT = 120_000  # Milliseconds; of a busy machine, alone it takes a hundredth.


@pytest.fixture(scope="module")
def sync_api():
    reason = "pages are tried in a browser: pip install playwright"
    return pytest.importorskip("playwright.sync_api", reason=reason)


@pytest.fixture(scope="module")
def browser(sync_api):
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("pages are tried in Chromium, and there is none on PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def litert():
    """LiteRT.js of the user's own cache, or of the registry."""
    try:
        return find_runtime()
    except OSError as error:
        pytest.skip(f"there is no LiteRT.js: {error}")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of colors, a quantized one, and one of gray scans with a center crop."""
    folder = tmp_path_factory.mktemp("models")
    names = ["mole", "nevus"]
    scans = {"modality": "mri", "channels": 1, "center_crop": 0.8}
    with pytest.MonkeyPatch.context() as patch:
        export = functools.partial(web_models.export, monkeypatch=patch)
        return {
            "float16": export(folder / "colors", names=names, modality="rgb"),
            "none": export(folder / "none", names=names, modality="rgb", kind="none"),
            "one": export(folder / "one", names=["mole"], modality="rgb"),
            "scans": export(
                folder / "scans", names=["lv", "rv"], values=[50, 300], **scans
            ),
        }


@pytest.fixture(scope="module")
def pages(models, litert, tmp_path_factory):
    """A function from a model's name to the page that was made of it."""
    folder = tmp_path_factory.mktemp("pages")

    @functools.cache
    def make(name):
        parts = web_page.make_parts(models[name], litert)
        web_page.write_file(parts, folder / f"{name}.html")
        return folder / f"{name}.html"

    return make


@contextlib.contextmanager
def opened(browser, address, said="The model is ready."):
    """Opens a page; an error on the console, or another request, fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(WAIT)
    noise, requests = [], []
    page.on("console", lambda m: noise.append(m.text) if m.type != "debug" else None)
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.locator("#status", has_text=said).wait_for()
    yield page
    if said == "The model is ready.":
        assert noise == []
    folder = address.rpartition("/")[0]
    inner = ("data:", "blob:", *([] if address.startswith("file:") else [folder]))
    assert [u for u in requests if not u.startswith(inner) and u != address] == []
    page.close()


@pytest.fixture
def page(browser, pages):
    with opened(browser, pages("float16").as_uri()) as page:
        yield page


def segment(page, path):
    """Gives the page a file; returns its article."""
    before = page.locator("article").count()
    page.set_input_files("#files", str(path))
    article = page.locator("article").nth(before)
    article.locator(".save:visible, .warning:visible").first.wait_for()
    return article


def saved(page, article, folder):
    """Returns the mask that a page saves, as stored."""
    with page.expect_download() as download:
        article.locator(".save").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def predicted(model, path, folder):
    """Returns the label map that `synergynet predict` writes."""
    out = folder / f"predicted-{path.name}"
    flags = ["--model", model.path, "--input", path, "--output", out]
    predict.main([str(word) for word in flags])
    return cv2.imread(str(out / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)


def skin(rows, columns):
    """A colored picture with a dark spot, smooth enough for JPEG."""
    y, x = np.mgrid[:rows, :columns]
    spot = np.hypot((y - rows * 0.4) / rows, (x - columns * 0.6) / columns) < 0.2
    noise = random_pixels(max(2, rows // 8), max(2, columns // 8), 3) / 4
    smooth = cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)
    colors = np.where(spot[..., None], (60, 80, 120), (150, 160, 200)) + smooth
    return np.clip(colors, 0, 255).astype(np.uint8)


def rotated(jpeg):
    """A JPEG file whose EXIF says that it is to be turned by a quarter."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def write_images(folder):
    """Writes 20 images of many sizes and kinds; returns their paths."""
    rgba = np.dstack([skin(70, 90), random_pixels(70, 90)])
    rgba[:30, :, 3] = 0
    images = {
        "small.png": skin(20, 17),
        "exact.png": skin(32, 32),
        "half.png": skin(16, 16),
        "wide.png": skin(40, 301),
        "gray.png": skin(150, 110)[..., 1],
        "deep.png": cv2.cvtColor(skin(64, 61), cv2.COLOR_BGR2GRAY).astype(np.uint16)
        * 201,
        "alpha.png": rgba,
        "photo.jpg": skin(479, 641),
        "gray.jpg": skin(120, 200)[..., 1],
        "tall.png": skin(301, 23),
        "line.png": skin(1, 40),
        "deep-colors.png": skin(50, 64).astype(np.uint16) * 251,
    }
    folder.mkdir()
    for name, pixels in images.items():
        cv2.imwrite(str(folder / name), pixels)
    jpeg = cv2.imencode(".jpg", skin(100, 160))[1].tobytes()
    (folder / "turned.jpg").write_bytes(rotated(jpeg))
    photo = PIL.Image.fromarray(skin(75, 121)[..., ::-1])
    photo.quantize(32).save(folder / "palette.png")
    photo.convert("LA").save(folder / "gray-alpha.png")
    photo.convert("1").save(folder / "bilevel.png")
    photo.save(folder / "progressive.jpg", progressive=True)
    photo.save(folder / "full-chroma.jpg", subsampling=0)
    photo.save(folder / "poor.jpg", quality=40)
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("LAB"))
    photo.save(folder / "profile.jpg", icc_profile=profile.tobytes())
    return sorted(folder.iterdir())


@pytest.mark.parametrize("name", ["float16", "none", "one"])
def test_labels_are_those_of_predict(browser, pages, models, tmp_path, name):
    with opened(browser, pages(name).as_uri()) as page:
        several = 0
        images = write_images(tmp_path / "images")
        assert len(images) == 20
        for path in images:
            expected = predicted(models[name], path, tmp_path)
            found = saved(page, segment(page, path), tmp_path)
            assert found.dtype == expected.dtype and found.shape == expected.shape
            assert np.count_nonzero(found != expected) == 0, path.name
            several += len(np.unique(expected)) > 1
        assert several > 5  # Not one class everywhere.


def test_scans_are_cropped_and_keep_their_values(browser, pages, models, tmp_path):
    with opened(browser, pages("scans").as_uri()) as page:
        for name in ("gray.png", "deep.png"):
            path = write_images(tmp_path / name)[0].with_name(name)
            expected = predicted(models["scans"], path, tmp_path)
            article = segment(page, path)
            assert np.array_equal(saved(page, article, tmp_path), expected)
            assert expected.dtype == np.uint16 and expected.max() == 300
            assert not expected[:3].any()
        said = segment(page, path.with_name("photo.jpg")).inner_text()
        assert "has 3 channels, but the model was trained on scans with 1" in said


def test_the_build_without_relaxed_simd_labels_alike(browser, models, litert, tmp_path):
    parts = web_page.make_parts(models["float16"], litert)
    choice = "WebAssembly.validate(RELAXED_SIMD)"
    assert choice in parts.worker
    worker = parts.worker.replace(choice, "false")
    web_page.write_file(parts._replace(worker=worker), tmp_path / "page.html")
    path = write_images(tmp_path / "images")[-1]
    with opened(browser, (tmp_path / "page.html").as_uri()) as page:
        found = saved(page, segment(page, path), tmp_path)
    assert np.array_equal(found, predicted(models["float16"], path, tmp_path))


def test_areas_probabilities_and_codes(page, models, tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), skin(64, 96))
    article = segment(page, path)
    model = models["float16"]
    labels = predicted(model, path, tmp_path)
    preprocessor = Preprocessor.of(model.card.config)
    image = read_image(path)
    answer = model.open().answer(preprocessor.images(image))
    native = preprocessor.back(answer.logits, 64, 96)[0]
    rows = article.locator("tbody tr")
    pixels = np.bincount(labels.ravel(), minlength=3)
    for label, count in enumerate(pixels.tolist()):
        cells = rows.nth(label).locator("th, td").all_inner_texts()
        assert cells[0].strip() == ("background", "mole", "nevus")[label]
        assert cells[1:3] == [f"{count:,}", f"{100 * count / labels.size:.2f} %"]
    # The first key shows the middle; then a fiftieth of the longer side a key.
    layers = article.locator(".layers")
    layers.focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    row, column = 32 - 2, 48 + 2 + 1
    powers = np.exp(native[row, column].astype(np.float64))
    here = rows.locator("td:last-child").all_inner_texts()
    assert here == [f"{100 * share:.1f} %" for share in powers / powers.sum()]
    text = article.locator(".pointer").inner_text()
    assert text.startswith(f"x {column}, y {row}: ")
    codes = answer.codes[0]
    side = 32 // codes.shape[0]
    network = (row + 0.5) * 32 / 64, (column + 0.5) * 32 / 96
    code = codes[int(network[0]) // side, int(network[1]) // side]
    count = np.count_nonzero(codes == code)
    assert f"Code {code}, at {count} of {codes.size} positions." in text
    chosen = article.locator(".codes .chosen")
    assert chosen.count() == count
    article.locator(".show-codes").uncheck()
    assert chosen.count() == 0
    article.locator(".show-codes").check()
    # The mouse points at every position in turn.
    box = layers.bounding_box()
    seen = set()
    for y in range(codes.shape[0]):
        for x in range(codes.shape[1]):
            left = box["x"] + (x + 0.5) / codes.shape[1] * box["width"]
            page.mouse.move(left, box["y"] + (y + 0.5) / codes.shape[0] * box["height"])
            assert chosen.count() == np.count_nonzero(codes == codes[y, x])
            seen.add(codes[y, x])
    assert len(seen) > 1


def test_the_slider_fades_the_mask(page, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), skin(64, 64))
    article = segment(page, tmp_path / "a.png")
    mask = article.locator(".mask")
    assert mask.evaluate("e => getComputedStyle(e).opacity") == "0.6"
    article.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert mask.evaluate("e => getComputedStyle(e).opacity") == "0.01"
    assert article.locator("output").first.inner_text() == "1 %"


def test_several_images_in_a_row(page, tmp_path):
    names = ["a.png", "b.png", "c.png", "d.png"]
    for name in names:
        cv2.imwrite(str(tmp_path / name), skin(64, 64))
    (tmp_path / "b.png").write_bytes(b"this is text")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:-50])
    page.set_input_files("#files", [str(tmp_path / name) for name in names])
    page.locator(".save:visible").nth(1).wait_for()
    texts = page.locator("article").all_inner_texts()
    assert [text.split("\n")[0] for text in texts] == names
    assert "b.png cannot be segmented: it is no JPEG, PNG or WebP image." in texts[1]
    assert "c.png cannot be segmented: it is truncated." in texts[2]
    page.get_by_role("button", name="Remove b.png").click()
    assert page.locator("h3", has_text=".png").all_inner_texts() == [
        "a.png",
        "c.png",
        "d.png",
    ]


def test_images_are_dropped_and_wait_for_the_model(browser, pages, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), skin(64, 64))
    page = browser.new_page()
    page.goto(pages("float16").as_uri())
    content = list((tmp_path / "a.png").read_bytes())
    page.evaluate(
        """(content) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([new Uint8Array(content)], "a.png"));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer }));
        }""",
        content,
    )
    page.locator(".save:visible").wait_for(timeout=WAIT)
    page.close()


def test_webp_is_read_and_a_constant_image_is_noted(page, tmp_path):
    cv2.imwrite(str(tmp_path / "a.webp"), skin(64, 80))
    assert "80 x 64 pixels" in segment(page, tmp_path / "a.webp").inner_text()
    cv2.imwrite(str(tmp_path / "black.png"), np.full((40, 40), 7, np.uint8))
    said = segment(page, tmp_path / "black.png").inner_text()
    assert "Note: its image is 7 everywhere." in said


def test_a_large_photograph_does_not_block_the_page(page, tmp_path):
    cv2.imwrite(str(tmp_path / "large.jpg"), skin(4000, 6000))
    page.evaluate(
        """() => {
          window.gap = 0;
          let last = performance.now();
          setInterval(() => {
            const now = performance.now();
            window.gap = Math.max(window.gap, now - last);
            last = now;
          }, 20);
          window.start = last;
        }"""
    )
    article = segment(page, tmp_path / "large.jpg")
    gap, whole = page.evaluate("() => [window.gap, performance.now() - window.start]")
    assert "6000 x 4000 pixels" in article.inner_text()
    # Milliseconds. Far below the whole, also where other processes have the processor.
    assert gap < max(300, whole / 4)
    assert saved(page, article, tmp_path).shape == (4000, 6000)


def test_all_can_be_done_with_the_keyboard(page, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), skin(64, 64))
    article = segment(page, tmp_path / "a.png")
    page.locator("#files").focus()
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const e = document.activeElement;"
            "return [e.className || e.tagName, getComputedStyle(e).outlineStyle]; }"
        )
        if name == "BODY":
            break
        assert outline != "none", name
        reached.append(name)
    wanted = ["opacity", "show-codes", "scroller", "save", "remove", "SUMMARY"]
    assert [name for name in reached if name in wanted] == wanted
    assert reached[0].split()[0] == "layers"
    article.locator(".remove").focus()
    page.keyboard.press("Enter")
    assert page.locator("article").count() == 0
    assert page.evaluate("document.activeElement.id") == "files"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, tmp_path, scheme):
    reason = "faults of access are looked for: pip install axe-playwright-python"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    cv2.imwrite(str(tmp_path / "a.png"), skin(64, 64))
    (tmp_path / "b.png").write_bytes(b"this is text")
    segment(page, tmp_path / "a.png").locator(".layers").focus()
    page.keyboard.press("ArrowUp")
    segment(page, tmp_path / "b.png")
    cv2.imwrite(str(tmp_path / "c.png"), skin(40, 30))
    segment(page, tmp_path / "c.png")
    page.locator("summary").click()
    page.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    assert [(fault["id"], fault["help"]) for fault in found] == []


def test_nothing_is_cut_off(page, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), skin(640, 300))
    article = segment(page, tmp_path / "a.png")
    for width in (1280, 700, 360):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert article.locator(".layers").bounding_box()["height"] <= 0.76 * 800


# --- A wrong page ---


def altered(text, name, change):
    """Returns a page with another text of one of its files."""
    start = text.index(f'data-file="{name}">') + len(f'data-file="{name}">')
    end = text.index("<", start)
    return text[:start] + change(text[start:end]) + text[end:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[: len(t) // 2], "the page is truncated"),
        (
            lambda t: altered(t, "model.tflite", lambda body: body[: len(body) // 2]),
            "model.tflite is (damaged|truncated)",
        ),
        (
            lambda t: altered(t, "relaxed.wasm", lambda body: body[:400]),
            "relaxed.wasm is (damaged|truncated)",
        ),
        (
            lambda t: altered(t, "worker.js", lambda body: body[4:]),
            "worker.js is damaged",
        ),
        (
            lambda t: re.sub(r'("model.tflite":.*?"sha256": ")....', r"\g<1>0000", t),
            "model.tflite is damaged, or another one",
        ),
    ],
)
def test_a_damaged_page_says_so(browser, pages, tmp_path, change, said):
    text = pages("float16").read_text("utf-8")
    assert change(text) != text
    (tmp_path / "page.html").write_text(change(text), "utf-8")
    pattern = re.compile(f"The model cannot be used: {said}")
    with opened(browser, (tmp_path / "page.html").as_uri(), pattern) as page:
        assert page.locator("#files").is_disabled()


# --- A folder ---


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def site(models, litert, tmp_path):
    """A served folder, and its address."""
    folder = tmp_path / "site"
    web_page.write_folder(web_page.make_parts(models["float16"], litert), folder)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def test_a_served_folder_labels_alike(browser, site, models, tmp_path):
    _, address = site
    path = write_images(tmp_path / "images")[-1]
    with opened(browser, address) as page:
        found = saved(page, segment(page, path), tmp_path)
    assert np.array_equal(found, predicted(models["float16"], path, tmp_path))


def test_a_folders_missing_or_cut_model_is_said(browser, site):
    folder, address = site
    model = folder / "model.tflite"
    model.write_bytes(model.read_bytes()[:1000])
    with opened(browser, address, "model.tflite is truncated"):
        pass
    model.unlink()
    with opened(browser, address, "model.tflite is not there (404)"):
        pass


def test_a_folder_opened_from_disk_says_that_it_must_be_served(browser, site):
    folder, _ = site
    page = browser.new_page()
    page.goto((folder / "index.html").as_uri())
    page.locator("#status", has_text=re.compile("serve.* over HTTP")).wait_for()
    page.close()
