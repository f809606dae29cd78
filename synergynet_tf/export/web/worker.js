"use strict";

// The page's worker: loads the model, and labels one image after the other. Before it
// stand LiteRT.js, as `runtime.py` wraps it, preprocess.js, images.js and sha256.js.

// Longest side of the picture that is shown.
const MAX_SHOWN = 1280;
// Characters of base64 that are decoded at once, a multiple of 4.
const BASE64_STEP = 2 ** 20;
// `i8x16.relaxed_swizzle` in a module of its own: where it is valid, the faster build runs.
const RELAXED_SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1,
  253, 15, 65, 2, 253, 15, 253, 128, 2, 11,
]);

// Of "load": { settings, embedded }; then the model and how to run it.
let session = null;

self.addEventListener("message", async ({ data }) => {
  const { id } = data;
  try {
    if (data.kind === "load") {
      session = await load(data);
      self.postMessage({ kind: "ready" });
      return;
    }
    const say = (text) => self.postMessage({ kind: "step", id, text });
    const result = await labelFile(data.file, say);
    const { photo, shownLabels, logits, codes } = result;
    const buffers = [photo.buffer, shownLabels.buffer, logits.data.buffer];
    if (codes) buffers.push(codes.data.buffer);
    self.postMessage({ kind: "labeled", id, ...result }, buffers);
  } catch (error) {
    self.postMessage({ kind: "refused", id, message: messageOf(error) });
  }
});

function messageOf(error) {
  if (error instanceof Refusal) return error.message;
  if (error instanceof RangeError || /memory/i.test(error?.message)) {
    return "there is not enough memory for it; close other pages, or scale the image down";
  }
  return `it failed (${error?.message ?? error})`;
}

// --- The model ---

async function load({ settings, embedded }) {
  const build = WebAssembly.validate(RELAXED_SIMD) ? "relaxed" : "compat";
  const names = [`${build}.wasm`, "model.tflite"];
  const total = names.reduce((sum, name) => sum + settings.files[name].bytes, 0);
  let before = 0;
  const contents = [];
  for (const name of names) {
    const progress = (done) => {
      self.postMessage({ kind: "progress", share: (before + done) / total });
    };
    contents.push(await readFile(name, settings.files[name], embedded, progress));
    before += settings.files[name].bytes;
  }
  const [wasmBinary, content] = contents;
  self.postMessage({ kind: "progress", share: 1 });
  self.ModuleFactory = RUNTIMES[build]();
  self.Module = { wasmBinary, print: console.debug, printErr: console.debug };
  // The loader is here already: no script is to be imported.
  const { loadLiteRt, loadAndCompile, Tensor } = liteRt(() => {});
  await loadLiteRt("loader.js");
  const model = await loadAndCompile(content, { accelerator: "wasm" });
  const { size, logits } = settings;
  const inputs = model.getInputDetails().map(({ shape }) => shape.join());
  const outputs = model.getOutputDetails().map(({ shape }) => [...shape]);
  if (
    inputs.join(";") !== `1,${size},${size},3` ||
    !outputs.some((shape) => shape.join() === `1,${size},${size},${logits}`)
  ) {
    throw new Refusal("model.tflite is not the model that the page was made for");
  }
  return { settings, model, outputs, Tensor };
}

// Returns a file of the page: from the page itself, or from beside it.
async function readFile(name, { bytes, sha256: digest }, embedded, progress) {
  const again = "make the page again, or copy it again as a whole";
  let stream;
  if (embedded) {
    stream = decodedBase64(embedded[name]).pipeThrough(new DecompressionStream("gzip"));
  } else {
    const response = await fetch(name).catch(() => null);
    if (!response?.ok) {
      throw new Refusal(`${name} is not there (${response?.status ?? "no answer"}); ${again}`);
    }
    stream = response.body;
  }
  const content = new Uint8Array(bytes);
  const reader = stream.getReader();
  let place = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      content.set(value, place);
      place += value.length;
      progress(place);
    }
  } catch {
    throw new Refusal(`${name} is damaged; ${again}`);
  }
  if (place < bytes) throw new Refusal(`${name} is truncated; ${again}`);
  if (sha256(content) !== digest) {
    throw new Refusal(`${name} is damaged, or another one (its SHA-256 differs); ${again}`);
  }
  return content;
}

function decodedBase64(text) {
  let place = 0;
  return new ReadableStream({
    pull(controller) {
      if (place >= text.length) {
        controller.close();
        return;
      }
      const part = atob(text.slice(place, place + BASE64_STEP));
      place += BASE64_STEP;
      const bytes = new Uint8Array(part.length);
      for (let i = 0; i < part.length; i += 1) bytes[i] = part.charCodeAt(i);
      controller.enqueue(bytes);
    },
  });
}

// Returns logits and codes of the network's input; `null` for a method without codes.
async function run(input) {
  const { model, outputs, settings, Tensor } = session;
  const { size } = settings;
  const image = new Tensor(input, [1, size, size, 3]);
  const results = await model.run([image]);
  image.delete();
  const answer = { logits: null, codes: null };
  for (const [i, result] of results.entries()) {
    const [, rows, columns, channels] = outputs[i];
    const data = await result.data();
    result.delete();
    // Codes are (1, rows, columns).
    if (channels === undefined) answer.codes = { rows, columns, data };
    else answer.logits = { rows, columns, channels, data };
  }
  if (!answer.logits.data.every(Number.isFinite)) {
    throw new Refusal("the model's logits are not finite: its weights are damaged");
  }
  return answer;
}

// --- An image ---

async function labelFile(file, say) {
  const { settings } = session;
  say("reading");
  const image = await readImage(file);
  requireChannels(image, settings);
  say("scaling");
  const input = toNetwork(image, settings);
  const remark = findFaint(image, settings);
  say("segmenting");
  const { logits, codes } = await run(input);
  say("labeling");
  const { rows, columns } = image;
  const { labels, counts } = toLabels(logits, rows, columns, settings.centerCrop);
  const mask = await writePng(labels, rows, columns, settings.values);
  const shown = shownSize(rows, columns);
  return {
    rows,
    columns,
    counts,
    remark,
    mask,
    logits,
    codes,
    shown,
    photo: shownPhoto(image, settings, shown),
    shownLabels: shownLabels(labels, rows, columns, shown),
  };
}

function requireChannels({ channels }, { imageChannels, picked }) {
  if (imageChannels !== null && channels !== imageChannels) {
    throw new Refusal(
      `it has ${channels} ${channels === 1 ? "channel" : "channels"}, but the model was ` +
        `trained on scans with ${imageChannels}`,
    );
  }
  if (picked.some((channel) => channel >= channels)) {
    throw new Refusal(
      `the model takes channels ${picked.join(" ")}, counted from 0, and it has ${channels}`,
    );
  }
}

function shownSize(rows, columns) {
  const scale = Math.min(1, MAX_SHOWN / Math.max(rows, columns));
  return {
    rows: Math.max(1, Math.round(rows * scale)),
    columns: Math.max(1, Math.round(columns * scale)),
  };
}

// RGBA of the picture: colors as they are; gray, and the first channel of a scan, from its
// darkest to its brightest.
function shownPhoto(image, { modality }, { rows, columns }) {
  const colored = image.channels === 3 && modality === "rgb";
  const box = { top: 0, left: 0, rows: image.rows, columns: image.columns };
  const photo = new Uint8ClampedArray(4 * rows * columns).fill(255);
  const planes = (colored ? [0, 1, 2] : [0]).map((channel) => {
    const ends = colored ? [0, 255] : percentiles(histogram(image, channel), image.scale);
    return resizeArea(image, channel, scaledValues(image, ends), box, rows, columns);
  });
  for (let c = 0; c < 3; c += 1) {
    const plane = planes[colored ? c : 0];
    for (let i = 0; i < plane.length; i += 1) photo[4 * i + c] = 255 * plane[i];
  }
  return photo;
}

function shownLabels(labels, rows, columns, shown) {
  const sampled = new Uint8Array(shown.rows * shown.columns);
  for (let row = 0; row < shown.rows; row += 1) {
    const start = Math.floor(((row + 0.5) * rows) / shown.rows) * columns;
    for (let column = 0; column < shown.columns; column += 1) {
      const from = Math.floor(((column + 0.5) * columns) / shown.columns);
      sampled[row * shown.columns + column] = labels[start + from];
    }
  }
  return sampled;
}
