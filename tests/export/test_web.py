"""Pages for browsers, without a browser: what is in them, and what is refused."""

import base64
import contextlib
import dataclasses
import gzip
import hashlib
import html
import http.server
import io
import json
import pathlib
import re
import shutil
import struct
import subprocess
import tarfile
import threading
import time
import zlib

import cv2
import keras
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.cli import web
from synergynet_tf.data.images import read_image
from synergynet_tf.data.preprocess import (
    find_faint,
    to_labels,
    to_native,
    to_network,
)
from synergynet_tf.evaluation.figures.overlays import PALETTE
from synergynet_tf.export.card import read_card
from synergynet_tf.export.exported_model import Exported
from synergynet_tf.export.web import page, runtime
from tests.export import web_models

pytest.importorskip("ai_edge_litert.interpreter")

HOSTILE = "</script><b>lesion"
FAKE = runtime.Runtime("const RUNTIMES = {};", {"relaxed": b"one", "compat": b"two"})
SOURCES = pathlib.Path(page.__file__).parent


# --- The page ---


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """A file and its card; that the interpreter runs it is not looked at here."""
    made = web_models.write_run(
        tmp_path / "run",
        ["mole", HOSTILE],
        values=[7, 300],
        modality="rgb",
    )
    file = tmp_path / "model.tflite"
    file.write_bytes(b"the model")
    digest = hashlib.sha256(b"the model").hexdigest()
    section = {"quantization": "float16", "sha256": digest}
    runs.write_json(tmp_path / "model.json", {**made, "tflite": section})
    monkeypatch.setattr(Exported, "open", lambda self: None)
    monkeypatch.setattr(web, "find_runtime", lambda folder: FAKE)
    return Exported(file, read_card(tmp_path / "model.json"))


def block(text, kind):
    return re.search(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)[1]


def settings_of(text):
    found = re.search(r'id="settings">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_one_file_holds_all(exported, tmp_path, capsys):
    out = tmp_path / "page.html"
    web.main(["--model", str(exported.path), "--out", str(out)])
    assert f"{out}: " in capsys.readouterr().out
    text = out.read_text("utf-8")
    held = dict(re.findall(r'data-file="([^"]+)">([^<]*)</script>', text))
    unpacked = {
        name: gzip.decompress(base64.b64decode(body)) for name, body in held.items()
    }
    worker = unpacked.pop("worker.js").decode()
    assert unpacked == {
        "model.tflite": b"the model",
        "relaxed.wasm": b"one",
        "compat.wasm": b"two",
    }
    assert worker.startswith(FAKE.script) and "function toNetwork" in worker
    settings = settings_of(text)
    assert settings["values"] == [0, 7, 300]
    assert settings["classes"] == [
        {"name": "mole", "color": PALETTE[0]},
        {"name": HOSTILE, "color": PALETTE[1]},
    ]
    assert settings["centerCrop"] == 1.0 and settings["logits"] == 3
    assert settings["temperature"] == 1
    digest = hashlib.sha256(b"the model").hexdigest()
    assert settings["files"]["model.tflite"] == {"bytes": 9, "sha256": digest}
    # No address is fetched, and what a name holds is text.
    assert re.findall(r'(?:src|href)="([^"]*)"', text.split("<script")[0]) == ["data:,"]
    assert HOSTILE not in text and html.escape(HOSTILE) in text
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text
    assert "300 " + html.escape(HOSTILE) in text
    # The only script and style that may run are those that are there.
    (policy,) = re.findall(
        r'Content-Security-Policy" content="([^"]+)"', html.unescape(text)
    )
    for kind in ("script", "style"):
        digest = hashlib.sha256(block(text, kind).encode()).digest()
        source = f"'sha256-{base64.b64encode(digest).decode()}'"
        assert f"{kind}-src {source}" in policy
    assert "default-src 'none'" in policy and "connect-src" not in policy


def test_a_folder_is_a_static_site(exported, tmp_path, capsys):
    out = tmp_path / "site"
    flags = ["--model", str(exported.path), "--out", str(out), "--folder"]
    web.main(flags)
    assert "serve it" in capsys.readouterr().out
    text = (out / "index.html").read_text("utf-8")
    named = {*re.findall(r'(?:src|href)="([\w.]+)"', text)} | {"worker.js"}
    read = {*settings_of(text)["files"]}
    license_file = "LICENSE-LiteRT.js.txt"
    assert {p.name for p in out.iterdir()} == {
        "index.html",
        license_file,
        *named,
        *read,
    }
    assert (out / "model.tflite").read_bytes() == b"the model"
    assert "Apache License" in (out / license_file).read_text("utf-8")
    assert "data-file" not in text and "'unsafe" not in text
    with pytest.raises(FileExistsError, match="site exists; delete it"):
        web.main(flags)


def test_a_scans_page_says_what_a_browser_cannot_read(exported, tmp_path):
    assert "NIfTI" not in page_text(exported, tmp_path / "one.html")
    config = exported.card.config.replace(modality="mri")
    values = json.loads(json.dumps(exported.card.values))
    values["input"]["modality"] = "mri"
    card = dataclasses.replace(exported.card, config=config, values=values)
    text = page_text(dataclasses.replace(exported, card=card), tmp_path / "two.html")
    assert "no NIfTI or DICOM scans" in text


def page_text(exported, out):
    page.write_file(page.make_parts(exported, FAKE), out)
    return out.read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "channels", "message"),
    [
        ({"modality": "ct"}, None, "Hounsfield units.*synergynet predict"),
        ({"modality": "mri"}, 4, "4 channels.*synergynet predict"),
    ],
)
def test_what_no_image_file_holds_is_refused(exported, change, channels, message):
    config = exported.card.config.replace(**change)
    with pytest.raises(ValueError, match=message):
        page.check_images(config, channels)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "page.txt"], "must end in .html"),
        (["--out", "page.html", "--quantize", "none"], "only with --run: --quantize"),
    ],
)
def test_flags_that_do_not_fit(exported, flags, message, capsys):
    with pytest.raises((ValueError, SystemExit)) as error:
        web.main(["--model", str(exported.path), *flags])
    assert message in capsys.readouterr().err + str(error.value)


def test_a_model_that_is_not_its_cards_is_refused(tmp_path, monkeypatch, exported):
    monkeypatch.undo()
    monkeypatch.setattr(web, "find_runtime", lambda folder: FAKE)
    exported.path.write_bytes(b"the mode")
    out = tmp_path / "page.html"
    flags = ["--model", str(exported.path), "--out", str(out)]
    with pytest.raises(ValueError, match="is damaged, or not the model that its card"):
        web.main(flags)
    (tmp_path / "model.json").unlink()
    with pytest.raises(FileNotFoundError, match="No model card"):
        web.main(flags)
    assert not out.exists()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)
def test_of_a_run_a_file_is_made_first(exported, tmp_path, monkeypatch):
    made = []

    def save(model, kind, images, card, file):
        made.append((model, kind))
        for ending in (".tflite", ".json"):
            file.with_suffix(ending).write_bytes(
                exported.path.with_suffix(ending).read_bytes()
            )

    monkeypatch.setattr("synergynet_tf.export.tflite.save", save)
    monkeypatch.setattr(
        "synergynet_tf.evaluation.predictor.load_run_model", lambda run: "model"
    )
    out = tmp_path / "page.html"
    for flags in ([], ["--quantize", "dynamic"]):
        out.unlink(missing_ok=True)
        web.main(["--run", str(tmp_path / "run"), "--out", str(out), *flags])
    assert made == [("model", "float16"), ("model", "dynamic")]
    assert "synergynet-8s2h.tflite" in out.read_text("utf-8")


# --- LiteRT.js ---

CORE = (
    'import { createWasmLib } from "@litertjs/wasm-utils";\n'
    "const device = await createDefaultWebGpuDevice();\n"
    "export {\n  loadLiteRt,\n  Tensor\n};\n"
)
HELPER = "var createWasmLib;\nexport {\n  createWasmLib\n};\n"


def packed(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


@pytest.fixture
def tarballs(monkeypatch, tmp_path):
    """Small packages in place of npm's, a cache of their own, and no registry."""
    core = {"dist/index.js": CORE}
    for build, name in runtime.BUILDS.items():
        core |= {f"wasm/{name}.js": "var ModuleFactory;", f"wasm/{name}.wasm": build}
    made = {"core": packed(core), "wasm-utils": packed({"dist/index.js": HELPER})}
    digests = {
        name: base64.b64encode(hashlib.sha512(content).digest()).decode()
        for name, content in made.items()
    }
    monkeypatch.setattr(runtime, "PACKAGES", digests)
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    return made


@contextlib.contextmanager
def serving(monkeypatch, answer):
    """Runs a registry; `answer(handler)` writes a body. Yields the paths asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):  # The client may be gone.
                answer(self)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", address)
        yield asked
        server.shutdown()


def send(made, cut=None):
    def answer(handler):
        name = re.fullmatch(r"/@litertjs/([\w-]+)/-/\1-2\.5\.3\.tgz", handler.path)[1]
        handler.wfile.write(made[name][:cut])

    return answer


def write_tarballs(folder, made):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (folder / runtime.tarball(name)).write_bytes(content)
    return folder


def test_the_runtime_is_fetched_once_and_checked(tarballs, monkeypatch, tmp_path):
    with serving(monkeypatch, send(tarballs)) as asked:
        found = runtime.find_runtime()
        assert found == runtime.find_runtime()
        assert len(asked) == 2
        # What is damaged in the cache is fetched anew.
        kept = tmp_path / "cache/litertjs" / runtime.tarball("core")
        kept.write_bytes(kept.read_bytes()[:-1])
        assert runtime.find_runtime() == found and len(asked) == 3
    assert kept.read_bytes() == tarballs["core"]
    assert found.wasm == {"relaxed": b"relaxed", "compat": b"compat"}
    assert "return {\n  loadLiteRt,\n  Tensor\n};" in found.script
    assert not re.search(r"^(import|export)\b", found.script, re.MULTILINE)
    assert "const device = null;" in found.script  # No GPU is asked for.


def test_a_folder_with_tarballs_needs_no_network(tarballs, tmp_path):
    folder = write_tarballs(tmp_path / "packages", tarballs)
    assert runtime.find_runtime(folder).wasm["compat"] == b"compat"
    assert not (tmp_path / "cache").exists()


def test_without_a_network_the_line_says_runtime(tarballs):
    with pytest.raises(OSError, match=r"cannot be fetched.*--runtime") as error:
        runtime.find_runtime()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [100, 0])
def test_what_is_fetched_cut_is_refused(tarballs, monkeypatch, tmp_path, cut):
    with serving(monkeypatch, send(tarballs, cut)):
        with pytest.raises(ValueError, match=r"truncated or another file.*--runtime"):
            runtime.find_runtime()
    assert not (tmp_path / "cache").exists()


def test_a_registry_that_never_ends_is_given_up(tarballs, monkeypatch):
    def trickle(handler):
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    monkeypatch.setattr(runtime, "TIMEOUT_SECONDS", 0.2)
    start = time.monotonic()
    with serving(monkeypatch, trickle):
        with pytest.raises(OSError, match=r"not done in 0 seconds.*--runtime"):
            runtime.find_runtime()
        assert time.monotonic() - start < 4
    monkeypatch.setattr(runtime, "MAX_BYTES", 10)
    with serving(monkeypatch, send(tarballs)):
        with pytest.raises(OSError, match="more than 0 MiB"):
            runtime.find_runtime()


def test_a_registry_is_an_address(tarballs, monkeypatch, tmp_path):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", tmp_path.as_uri())
    with pytest.raises(ValueError, match="must be an https:// address"):
        runtime.find_runtime()


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c + b"x"])
def test_a_folders_other_tarball_is_refused(tarballs, tmp_path, damage):
    folder = tmp_path / "packages"
    with pytest.raises(FileNotFoundError, match=r"npm pack @litertjs/core@2\.5\.3"):
        runtime.find_runtime(folder)
    write_tarballs(folder, {**tarballs, "core": damage(tarballs["core"])})
    with pytest.raises(ValueError, match=r"--runtime: .*its SHA-512 differs"):
        runtime.find_runtime(folder)


def test_another_version_of_the_library_is_refused():
    with pytest.raises(ValueError, match="is not as expected"):
        runtime._wrap(HELPER, CORE.replace("await", "wait"))


# --- The program, in Node.js ---


def run_node(tmp_path, driver, *sources):
    """Runs scripts of the page, then `driver`; returns the JSON that it prints."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("the page's scripts are tried in Node.js: there is no node on PATH")
    texts = [(SOURCES / name).read_text("utf-8") for name in sources]
    script = tmp_path / "script.js"
    head = "const fs = require('fs'); process.chdir(__dirname);"
    body = f"(async () => {{ {driver} }})();"
    script.write_text("\n".join([*texts, head, body]), "utf-8")
    done = subprocess.run([node, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def picture(rows, columns, channels, bits, generator):
    """A smooth image with noise."""
    coarse = generator.random((max(2, rows // 8), max(2, columns // 8), channels))
    smooth = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
    noise = generator.normal(0, 0.02, (rows, columns, channels))
    values = np.clip(smooth.reshape(noise.shape) + noise, 0, 1) * (2**bits - 1)
    return values.astype(np.uint16 if bits == 16 else np.uint8)


# Rows, columns, channels, bits, modality, center crop, logits.
IMAGES = [
    (96, 96, 3, 8, "rgb", 1.0, 1),
    (241, 320, 3, 8, "rgb", 1.0, 4),
    (41, 50, 3, 8, "rgb", 1.0, 4),  # Enlarged.
    (64, 64, 1, 8, "rgb", 1.0, 3),
    (128, 128, 1, 8, "rgb", 1.0, 2),
    (30, 500, 1, 8, "rgb", 1.0, 5),  # Shrunk along one side alone.
    (150, 100, 1, 16, "mri", 0.8, 1),
    (151, 103, 3, 8, "mri", 0.75, 4),
    (64, 200, 2, 8, "mri", 1.0, 3),
    (1, 1, 1, 8, "rgb", 1.0, 2),
    (5, 9, 3, 8, "rgb", 0.3, 2),
]
SIZE = 64
TEMPERATURE = 1.7


def test_numbers_are_those_of_opencv(tmp_path):
    generator = np.random.default_rng(0)
    cases = []
    for number, case in enumerate(IMAGES):
        rows, columns, channels, bits, modality, crop, logits = case
        pixels = picture(rows, columns, channels, bits, generator)
        if number == 6:  # Over 99 % of one value.
            pixels[:] = 7
            pixels[70, 40:43, 0] = 300, 60, 20000
        values = generator.normal(0, 5, (SIZE, SIZE, logits)).astype(np.float32)
        (tmp_path / f"{number}.pixels").write_bytes(pixels.tobytes())
        (tmp_path / f"{number}.logits").write_bytes(values.tobytes())
        cases.append((pixels, modality, crop, values))
    said = run_node(
        tmp_path,
        f"""
        const read = (name, Type) => {{
          const bytes = fs.readFileSync(name);
          return new Type(new Uint8Array(bytes).buffer);
        }};
        const said = [];
        for (const [i, case_] of {json.dumps(IMAGES)}.entries()) {{
          const [rows, columns, channels, bits, modality, centerCrop, count] = case_;
          const data = read(`${{i}}.pixels`, bits === 16 ? Uint16Array : Uint8Array);
          const scale = bits === 16 ? 257 : 1;
          const image = {{ rows, columns, channels, data, scale }};
          const settings = {{ modality, size: {SIZE}, picked: [], centerCrop }};
          fs.writeFileSync(`${{i}}.input`, toNetwork(image, settings));
          const logits = {{ rows: {SIZE}, columns: {SIZE}, channels: count,
                            data: read(`${{i}}.logits`, Float32Array) }};
          const warm = {{ centerCrop, temperature: {TEMPERATURE} }};
          const {{ labels, counts }} = toLabels(logits, rows, columns, centerCrop);
          fs.writeFileSync(`${{i}}.labels`, labels);
          const [y, x] = [Math.floor(rows / 2), Math.floor(columns / 3)];
          const shares = probabilitiesAt(logits, y, x, rows, columns, warm);
          const outside = probabilitiesAt(logits, 0, 0, rows, columns, warm);
          said.push([findFaint(image, settings), counts, shares, outside[0]]);
        }}
        console.log(JSON.stringify(said));
        """,
        "preprocess.js",
    )
    for number, (pixels, modality, crop, values) in enumerate(cases):
        rows, columns = pixels.shape[:2]
        image = (pixels / np.float32(257 if pixels.dtype == np.uint16 else 1))[None]
        expected = to_network(image.astype(np.float32), modality, SIZE, "", crop)[0]
        found = np.fromfile(tmp_path / f"{number}.input", np.float32)
        # OpenCV sums in another order on other processors.
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-6)
        native = to_native(values[None], rows, columns, crop)[0]
        labels = np.fromfile(tmp_path / f"{number}.labels", np.uint8)
        wrong = labels.reshape(rows, columns) != to_labels(native)
        ordered = np.sort(native, axis=-1)
        clear = (
            abs(native[..., 0])
            if values.shape[-1] == 1
            else ordered[..., -1] - ordered[..., -2]
        )
        assert not wrong[clear > 1e-4].any()
        remark, counts, shares, corner = said[number]
        assert remark == find_faint(image, modality).replace("voxels", "pixels")
        assert counts == np.bincount(labels, minlength=len(counts)).tolist()
        at = native[rows // 2, columns // 3].astype(np.float64) / TEMPERATURE
        powers = np.exp(at if len(at) > 1 else [0, at[0]])
        np.testing.assert_allclose(shares, powers / powers.sum(), atol=1e-5)
        assert crop == 1 or corner == 1  # What is cut off is background.


def chunk(kind, body):
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", checksum)


PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4))
PASSES += ((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def make_png(rows, columns, depth, kind, interlaced, generator):
    """A PNG file of noise, with every filter."""
    bits = depth * SAMPLES[kind]
    lines = []
    for left, top, across, down in PASSES if interlaced else ((0, 0, 1, 1),):
        wide, tall = -(-(columns - left) // across), -(-(rows - top) // down)
        for _ in range(tall if wide > 0 else 0):
            lines.append(bytes([generator.integers(5)]))
            lines.append(generator.bytes(-(-wide * bits // 8)))
    header = struct.pack(">IIBBBBB", columns, rows, depth, kind, 0, 0, interlaced)
    palette = chunk(b"PLTE", generator.bytes(3 * 2**depth)) if kind == 3 else b""
    body = chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + body


def test_every_kind_of_png_is_read_as_opencv_reads_it(tmp_path):
    generator = np.random.default_rng(0)
    names = []
    for kind, depths in DEPTHS.items():
        for depth in depths:
            for interlaced in (0, 1):
                names.append(f"{kind}-{depth}-{interlaced}.png")
                content = make_png(13, 11, depth, kind, interlaced, generator)
                (tmp_path / names[-1]).write_bytes(content)
    found = run_node(
        tmp_path,
        f"""
        const found = [];
        for (const name of {json.dumps(names)}) {{
          const file = new File([fs.readFileSync(name)], name);
          const {{ rows, columns, channels, data, scale }} = await readImage(file);
          found.push([rows, columns, channels, scale, [...data]]);
        }}
        console.log(JSON.stringify(found));
        """,
        "images.js",
    )
    for name, (rows, columns, channels, scale, data) in zip(names, found, strict=True):
        expected = read_image(tmp_path / name)[0]
        assert expected.shape == (rows, columns, channels), name
        values = np.array(data, np.float32) / np.float32(scale)
        assert np.array_equal(values.reshape(expected.shape), expected), name


def test_files_that_are_no_images_are_refused(tmp_path):
    generator = np.random.default_rng(0)
    png = make_png(13, 11, 8, 2, 0, generator)
    jpeg = cv2.imencode(".jpg", picture(40, 30, 3, 8, generator))[1].tobytes()
    flipped = bytearray(png)
    flipped[60] ^= 1
    huge = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    head, end = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")
    few = chunk(b"IHDR", png[16:29]) + chunk(b"IDAT", zlib.compress(b"0")) + end
    cases = {
        "text.png": (b"hello", "no JPEG, PNG or WebP image"),
        "empty.png": (b"", "it is empty"),
        "cut.png": (png[:-20], "truncated"),
        "flipped.png": (bytes(flipped), "a checksum is wrong"),
        "huge.png": (head + chunk(b"IHDR", huge) + end, "more than 100 megapixels"),
        "few.png": (head + few, "pixels are missing"),
        "cut.jpg": (jpeg[:-200], "no end-of-image marker"),
        "start.jpg": (jpeg[:30], "truncated"),
        "scan.nii.gz": (b"\x1f\x8b", "which a browser cannot read"),
        "photo.tif": (b"II*\0", "no JPEG, PNG or WebP image"),
    }
    for name, (content, _) in cases.items():
        (tmp_path / name).write_bytes(content)
    said = run_node(
        tmp_path,
        f"""
        const said = [];
        for (const name of {json.dumps([*cases])}) {{
          const file = new File([fs.readFileSync(name)], name);
          const error = await readImage(file).catch((error) => error);
          said.push(error instanceof Refusal ? error.message : `no: ${{error}}`);
        }}
        console.log(JSON.stringify(said));
        """,
        "images.js",
    )
    for text, (name, (_, expected)) in zip(said, cases.items(), strict=True):
        assert expected in text, name


def test_a_mask_is_a_gray_png(tmp_path):
    labels = np.arange(35, dtype=np.uint8).reshape(5, 7) % 3
    run_node(
        tmp_path,
        """
        const labels = Uint8Array.from({ length: 35 }, (_, i) => i % 3);
        for (const [name, values] of [["8", [0, 9, 255]], ["16", [0, 9, 300]]]) {
          const blob = await writePng(labels, 5, 7, values);
          fs.writeFileSync(name, Buffer.from(await blob.arrayBuffer()));
        }
        console.log("null");
        """,
        "images.js",
    )
    for name, dtype, top in (("8", np.uint8, 255), ("16", np.uint16, 300)):
        found = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(found, np.array([0, 9, top], dtype)[labels])
        assert found.dtype == dtype


def test_sha256_is_that_of_hashlib(tmp_path):
    sizes = [0, 1, 55, 56, 63, 64, 65, 1000]
    found = run_node(
        tmp_path,
        f"""
        const counted = (length) => Uint8Array.from({{ length }}, (_, i) => i);
        console.log(JSON.stringify({sizes}.map((size) => sha256(counted(size)))));
        """,
        "sha256.js",
    )
    contents = (bytes(i % 256 for i in range(size)) for size in sizes)
    assert found == [hashlib.sha256(content).hexdigest() for content in contents]
