"""LiteRT.js, which runs `.tflite` files in a browser: fetched once, checked, wrapped.

Both npm packages are pinned by version and by the SHA-512 of their tarballs. They are
kept in the cache, `litertjs/`, and never in this repository.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
import pathlib
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import NamedTuple

from synergynet_tf import runs
from synergynet_tf.data import cache

VERSION = "2.5.3"
REGISTRY = "https://registry.npmjs.org"
# npm's own setting, in both spellings that it takes.
REGISTRY_VARIABLES = ("NPM_CONFIG_REGISTRY", "npm_config_registry")
TIMEOUT_SECONDS = 300.0  # For a whole download.
SILENCE_SECONDS = 30.0
MAX_BYTES = 64 * 2**20
# Package -> the SHA-512 of its tarball, as npm's registry names it.
PACKAGES = {
    "core": (
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCn"
        "N4nzWoyJQ=="
    ),
    "wasm-utils": (
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFaw"
        "teZ/sI1kQ=="
    ),
}
# Name of a build in the page -> npm's name. `relaxed` needs relaxed SIMD, which not
# every browser has.
BUILDS = {"relaxed": "litert_wasm_internal", "compat": "litert_wasm_compat_internal"}


class Runtime(NamedTuple):
    """The parts of LiteRT.js that go into a page.

    Attributes:
        script: JavaScript, for the start of a worker: `RUNTIMES`, the loader of each
            build, and `liteRt(importScripts)`, which returns the library.
        wasm: WebAssembly of each of `BUILDS`.
    """

    script: str
    wasm: dict[str, bytes]


def find_runtime(folder: str | pathlib.Path | None = None) -> Runtime:
    """Returns LiteRT.js of a folder, of the cache, or of npm's registry.

    Args:
        folder: Folder with both tarballs, as `npm pack` writes them; `None` for the
            cache, into which missing ones are downloaded.

    Raises:
        FileNotFoundError: If a tarball is missing in `folder`.
        ValueError: If one is truncated, or not the expected one.
        OSError: If the registry does not answer.
    """
    tarballs = {
        name: _fetch(name) if folder is None else _read(pathlib.Path(folder), name)
        for name in PACKAGES
    }
    core, helper = tarballs["core"], tarballs["wasm-utils"]
    loaders = {build: _text(core, f"wasm/{file}.js") for build, file in BUILDS.items()}
    library = _wrap(_text(helper, "dist/index.js"), _text(core, "dist/index.js"))
    wasm = {build: _member(core, f"wasm/{file}.wasm") for build, file in BUILDS.items()}
    return Runtime(f"{_wrap_loaders(loaders)}\n{library}", wasm)


def tarball(name: str) -> str:
    """Returns the file name of a package's tarball, as `npm pack` writes it."""
    return f"litertjs-{name}-{VERSION}.tgz"


def _read(folder: pathlib.Path, name: str) -> bytes:
    path = folder / tarball(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"--runtime: no {path}; `npm pack @litertjs/core@{VERSION} "
            f"@litertjs/wasm-utils@{VERSION}` writes it"
        )
    content = path.read_bytes()
    if not _is_right(name, content):
        raise ValueError(
            f"--runtime: {path} is truncated or another file (its SHA-512 differs); "
            "get it again"
        )
    return content


def _fetch(name: str) -> bytes:
    """Returns a tarball of the cache, or of the registry."""
    kept = cache.cache_dir() / "litertjs" / tarball(name)
    if kept.is_file() and _is_right(name, content := kept.read_bytes()):
        return content
    registry = next(filter(None, map(os.environ.get, REGISTRY_VARIABLES)), REGISTRY)
    url = f"{registry.rstrip('/')}/@litertjs/{name}/-/{name}-{VERSION}.tgz"
    content = _download(url)
    if not _is_right(name, content):
        raise ValueError(
            f"{url} is truncated or another file (its SHA-512 differs): nothing was "
            "kept; try again, or name a folder with both tarballs with --runtime"
        )
    with runs.atomic_file(kept) as temporary:
        temporary.write_bytes(content)
    return content


def _download(url: str) -> bytes:
    """Returns the content of a URL.

    Raises:
        ValueError: If it is not HTTP or HTTPS.
        OSError: If there is no answer, or none in time.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(
            f"npm's registry must be an https:// address. Received: {url}; correct "
            f"{REGISTRY_VARIABLES[0]}"
        )
    end = time.monotonic() + TIMEOUT_SECONDS
    parts, size = [], 0
    try:
        with urllib.request.urlopen(url, timeout=SILENCE_SECONDS) as response:
            # `read1` returns what there is: a slow server cannot outlast the limit.
            while block := response.read1(2**16):
                parts.append(block)
                size += len(block)
                if time.monotonic() > end:
                    raise TimeoutError(f"not done in {TIMEOUT_SECONDS:.0f} seconds")
                if size > MAX_BYTES:
                    raise OSError(f"more than {MAX_BYTES / 2**20:.0f} MiB")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise OSError(
            f"LiteRT.js cannot be fetched from {url} ({reason}); where there is no "
            "network, name a folder with both tarballs with --runtime"
        ) from error
    return b"".join(parts)


def _is_right(name: str, content: bytes) -> bool:
    digest = hashlib.sha512(content).digest()
    return base64.b64encode(digest).decode("ascii") == PACKAGES[name]


def _member(content: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        file = archive.extractfile(f"package/{name}")
        if file is None:
            raise ValueError(f"LiteRT.js {VERSION} has no file {name}")
        return file.read()


def _text(content: bytes, name: str) -> str:
    return _member(content, name).decode("utf-8")


def _wrap_loaders(loaders: dict[str, str]) -> str:
    """Wraps each build's loader in a function, so that one worker can hold both."""
    functions = (
        f'"{build}": function () {{\n{text}\nreturn ModuleFactory;\n}}'
        for build, text in loaders.items()
    )
    return f"const RUNTIMES = {{\n{','.join(functions)}\n}};"


def _wrap(helper: str, core: str) -> str:
    """Makes a function of both modules.

    A worker that calls `importScripts`, as the loader's does, cannot import modules;
    and no file can be imported where the page is opened from disk. The page asks for no
    GPU either, since the model runs without.
    """
    helper = _without(helper, "export {\n  createWasmLib\n};")
    core = _without(core, 'import { createWasmLib } from "@litertjs/wasm-utils";')
    core = _without(core, "await createDefaultWebGpuDevice()", "null")
    before, export, names = core.partition("\nexport {")
    if not export:
        raise ValueError(f"LiteRT.js {VERSION} exports nothing")
    names = names.partition("}")[0]
    return (
        f'function liteRt(importScripts) {{\n"use strict";\n{helper}\n{before}\n'
        f"return {{{names}}};\n}}"
    )


def _without(text: str, old: str, new: str = "") -> str:
    if text.count(old) != 1:
        raise ValueError(f"LiteRT.js {VERSION} is not as expected: {old!r}")
    return text.replace(old, new)
