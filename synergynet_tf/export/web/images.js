"use strict";

// Image files: PNG and JPEG are read as synergynet_tf/data/images.py reads them, and
// label maps are written as PNG. A canvas would multiply colors by their transparency and
// keep 8 of 16 bits, so PNG is decoded here.

const MAX_PIXELS = 100e6;
const PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
// Samples of a pixel, by the color type of PNG (ISO/IEC 15948, table 11.1).
const PNG_SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const PNG_DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
// Start column, start row, and both steps of the passes of Adam7 (section 8.2).
const ADAM7 = [
  [0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2],
];
// Rows that are read from a canvas at once.
const STRIP = 256;

// What is wrong with a file, to be shown as it is.
class Refusal extends Error {}

// Reads a file into { rows, columns, channels, data, scale }.
async function readImage(file) {
  const name = file.name.toLowerCase();
  if (/\.(nii|nii\.gz|dcm|nrrd|mha)$/.test(name)) {
    throw new Refusal(
      "it is a scan, which a browser cannot read; segment it with synergynet predict",
    );
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (startsWith(bytes, PNG_SIGNATURE)) return readPng(bytes);
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return readJpeg(bytes);
  if (isWebp(bytes)) return readWebp(bytes);
  throw new Refusal(bytes.length ? "it is no JPEG, PNG or WebP image" : "it is empty");
}

function startsWith(bytes, start) {
  return start.every((byte, i) => bytes[i] === byte);
}

function requireSize(rows, columns) {
  if (!rows || !columns) throw new Refusal("it is damaged: it has no pixels");
  if (rows * columns > MAX_PIXELS) {
    throw new Refusal(
      `it has ${columns} x ${rows} pixels, more than ${MAX_PIXELS / 1e6} megapixels; ` +
        "scale it down, or segment it with synergynet predict",
    );
  }
}

// --- PNG ---

async function readPng(bytes) {
  const { header, palette, body } = pngChunks(bytes);
  const { rows, columns, depth, type } = header;
  const passes = pngPasses(header);
  const expected = passes.reduce((sum, pass) => sum + pass.rows * (1 + pass.rowBytes), 0);
  const raw = await inflate(body, expected);
  const channels = type === 0 ? 1 : 3;
  const data = new (depth === 16 ? Uint16Array : Uint8Array)(rows * columns * channels);
  let place = 0;
  for (const pass of passes) {
    unfilterPng(raw, place, pass);
    for (let row = 0; row < pass.rows; row += 1) {
      const start = place + row * (1 + pass.rowBytes) + 1;
      const y = pass.top + row * pass.down;
      const target = (y * columns + pass.left) * channels;
      pngRow(raw, start, pass, header, palette, data, target);
    }
    place += pass.rows * (1 + pass.rowBytes);
  }
  return { rows, columns, channels, data, scale: depth === 16 ? 257 : 1 };
}

// Checks every chunk, and returns what the pixels need.
function pngChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const bodies = [];
  let [header, palette] = [null, null];
  let place = PNG_SIGNATURE.length;
  for (;;) {
    const end = place + 8 + (place + 8 <= bytes.length ? view.getUint32(place) : 0);
    if (place + 8 > bytes.length || end + 4 > bytes.length) {
      throw new Refusal("it is truncated");
    }
    const kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    const body = bytes.subarray(place + 8, end);
    if (view.getUint32(end) !== crc32(bytes.subarray(place + 4, end))) {
      throw new Refusal("it is damaged (a checksum is wrong)");
    }
    if (header === null) {
      if (kind !== "IHDR" || body.length !== 13) throw new Refusal("it is damaged");
      header = pngHeader(body);
    }
    if (kind === "PLTE") palette = body;
    if (kind === "IDAT") bodies.push(body);
    if (kind === "IEND") break;
    place = end + 4;
  }
  if (header.type === 3 && palette === null) throw new Refusal("it is damaged");
  return { header, palette, body: new Blob(bodies) };
}

function pngHeader(body) {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const [columns, rows] = [view.getUint32(0), view.getUint32(4)];
  const [depth, type, , , interlace] = body.subarray(8);
  if (!PNG_DEPTHS[type]?.includes(depth) || interlace > 1) throw new Refusal("it is damaged");
  requireSize(rows, columns);
  return { rows, columns, depth, type, interlace };
}

// The parts that an image's rows are stored in: one, or seven when interlaced.
function pngPasses({ rows, columns, depth, type, interlace }) {
  const bits = depth * PNG_SAMPLES[type];
  return (interlace ? ADAM7 : [[0, 0, 1, 1]])
    .map(([left, top, across, down]) => {
      const wide = Math.ceil((columns - left) / across);
      const tall = Math.ceil((rows - top) / down);
      const rowBytes = Math.ceil((wide * bits) / 8);
      const pixelBytes = Math.max(1, bits >> 3);
      return { left, top, across, down, columns: wide, rows: tall, rowBytes, pixelBytes };
    })
    .filter((pass) => pass.columns > 0 && pass.rows > 0);
}

// Undoes the filters of a pass (section 9.2) in place.
function unfilterPng(raw, place, { rows, rowBytes, pixelBytes }) {
  for (let row = 0; row < rows; row += 1) {
    const start = place + row * (1 + rowBytes) + 1;
    const above = start - 1 - rowBytes;
    const filter = raw[start - 1];
    if (filter > 4) throw new Refusal("it is damaged (an unknown filter)");
    if (filter === 0) continue;
    for (let i = 0; i < rowBytes; i += 1) {
      const a = i < pixelBytes ? 0 : raw[start + i - pixelBytes];
      const b = row === 0 ? 0 : raw[above + i];
      let predicted = filter === 1 ? a : b;
      if (filter === 3) predicted = (a + b) >> 1;
      if (filter === 4) {
        const c = row === 0 || i < pixelBytes ? 0 : raw[above + i - pixelBytes];
        const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
        predicted = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      }
      raw[start + i] += predicted;
    }
  }
}

// Writes the gray value or the color of each pixel of a row; transparency is dropped.
function pngRow(raw, start, pass, { depth, type }, palette, data, target) {
  const samples = PNG_SAMPLES[type];
  const wide = depth === 16;
  const sample = (i) => {
    if (wide) return (raw[start + 2 * i] << 8) | raw[start + 2 * i + 1];
    if (depth === 8) return raw[start + i];
    const bit = i * depth;
    return (raw[start + (bit >> 3)] >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
  };
  const spread = depth < 8 ? 255 / (2 ** depth - 1) : 1;
  const channels = type === 0 ? 1 : 3;
  for (let column = 0; column < pass.columns; column += 1) {
    const place = target + column * pass.across * channels;
    const first = column * samples;
    if (type === 0) {
      data[place] = sample(first) * spread;
    } else if (type === 3) {
      const entry = 3 * sample(first);
      if (entry >= palette.length) throw new Refusal("it is damaged (not in its palette)");
      for (let c = 0; c < 3; c += 1) data[place + c] = palette[entry + c];
    } else {
      for (let c = 0; c < 3; c += 1) data[place + c] = sample(type === 4 ? first : first + c);
    }
  }
}

// Returns the `size` bytes that a zlib stream holds.
async function inflate(blob, size) {
  const bytes = new Uint8Array(size);
  const reader = blob.stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let place = 0;
  try {
    while (place < size) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes.set(value.subarray(0, size - place), place);
      place += value.length;
    }
  } catch {
    throw new Refusal("it is damaged (its pixels cannot be unpacked)");
  }
  if (place < size) throw new Refusal("it is damaged (pixels are missing)");
  return bytes;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let k = 0; k < 8; k += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

// Returns a gray PNG file: for each label `values[label]`, 16 bits where one is over 255.
async function writePng(labels, rows, columns, values) {
  const wide = Math.max(...values) > 255;
  const rowBytes = columns * (wide ? 2 : 1);
  const raw = new Uint8Array(rows * (1 + rowBytes));
  for (let row = 0; row < rows; row += 1) {
    const start = row * (1 + rowBytes) + 1;
    for (let column = 0; column < columns; column += 1) {
      const value = values[labels[row * columns + column]];
      if (wide) {
        raw[start + 2 * column] = value >> 8;
        raw[start + 2 * column + 1] = value;
      } else {
        raw[start + column] = value;
      }
    }
  }
  const stream = new Blob([raw]).stream().pipeThrough(new CompressionStream("deflate"));
  const body = new Uint8Array(await new Response(stream).arrayBuffer());
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, columns);
  view.setUint32(4, rows);
  header[8] = wide ? 16 : 8;
  const chunks = [["IHDR", header], ["IDAT", body], ["IEND", new Uint8Array(0)]];
  const parts = chunks.map(([kind, content]) => pngChunk(kind, content));
  return new Blob([new Uint8Array(PNG_SIGNATURE), ...parts], { type: "image/png" });
}

function pngChunk(kind, content) {
  const chunk = new Uint8Array(12 + content.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length);
  chunk.set([...kind].map((letter) => letter.charCodeAt(0)), 4);
  chunk.set(content, 8);
  view.setUint32(8 + content.length, crc32(chunk.subarray(4, 8 + content.length)));
  return chunk;
}

// --- JPEG and WebP: decoded by the browser ---

async function readJpeg(bytes) {
  const { rows, columns, components, parts } = jpegFrame(bytes);
  requireSize(rows, columns);
  if (components !== 1 && components !== 3) {
    throw new Refusal("its colors are not RGB or gray, such as CMYK; save it as RGB");
  }
  // In one piece: Firefox decodes no blob of several in a worker.
  const whole = await new Blob(parts).arrayBuffer();
  const decoded = await decode(new Blob([whole], { type: "image/jpeg" }));
  const data = await pixels(decoded, rows, columns, components);
  return { rows, columns, channels: components, data, scale: 1 };
}

// Walks the markers of a JPEG file (ITU-T T.81, annex B): its size, and its parts without
// EXIF and color profile, neither of which is applied.
function jpegFrame(bytes) {
  const parts = [bytes.subarray(0, 2)];
  let frame = null;
  let place = 2;
  const truncated = new Refusal("it is truncated");
  for (;;) {
    if (place + 3 >= bytes.length) throw truncated;
    const code = bytes[place + 1];
    if (bytes[place] !== 0xff || code === 0xff) {
      place += 1; // A fill byte, or one that decoders pass over as well.
      continue;
    }
    if (code === 0 || code === 1 || (code >= 0xd0 && code <= 0xd9)) {
      place += 2;
      continue;
    }
    if (code === 0xda) break;
    const end = place + 2 + ((bytes[place + 2] << 8) | bytes[place + 3]);
    // Start of frame is C0 to CF without C4, C8 and CC.
    if (code >= 0xc0 && code <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(code)) {
      if (place + 9 >= bytes.length) throw truncated;
      const at = (i) => (bytes[place + i] << 8) | bytes[place + i + 1];
      frame = { rows: at(5), columns: at(7), components: bytes[place + 9] };
    }
    if (code !== 0xe1 && code !== 0xe2) parts.push(bytes.subarray(place, end));
    place = end;
  }
  if (frame === null) throw new Refusal("it is damaged (no frame header)");
  const scans = bytes.subarray(place);
  if (!hasEndOfImage(scans)) throw new Refusal("it is truncated (no end-of-image marker)");
  return { ...frame, parts: [...parts, scans] };
}

function hasEndOfImage(scans) {
  for (let i = scans.length - 2; i >= 0; i -= 1) {
    if (scans[i] === 0xff && scans[i + 1] === 0xd9) return true;
  }
  return false;
}

function isWebp(bytes) {
  const text = (start) => String.fromCharCode(...bytes.subarray(start, start + 4));
  return text(0) === "RIFF" && text(8) === "WEBP";
}

async function readWebp(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 12 || 8 + view.getUint32(4, true) > bytes.length) {
    throw new Refusal("it is truncated");
  }
  const decoded = await decode(new Blob([bytes], { type: "image/webp" }));
  const { height: rows, width: columns } = decoded;
  requireSize(rows, columns);
  const data = await pixels(decoded, rows, columns, 3);
  return { rows, columns, channels: 3, data, scale: 1 };
}

async function decode(blob) {
  try {
    return await createImageBitmap(blob, {
      imageOrientation: "none",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Refusal("this browser cannot decode it: it is damaged, too large or unusual");
  }
}

// Copies what the browser has decoded, strip by strip: a canvas has a largest size.
async function pixels(decoded, rows, columns, channels) {
  if (decoded.height !== rows || decoded.width !== columns) {
    throw new Refusal("it is damaged (another size than its header says)");
  }
  const data = new Uint8Array(rows * columns * channels);
  const canvas = new OffscreenCanvas(columns, Math.min(STRIP, rows));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < rows; top += STRIP) {
    const count = Math.min(STRIP, rows - top);
    context.drawImage(decoded, 0, -top);
    const strip = context.getImageData(0, 0, columns, count).data;
    const start = top * columns * channels;
    for (let i = 0; i < columns * count; i += 1) {
      if (strip[4 * i + 3] !== 255) {
        throw new Refusal("it is a WebP image with transparency; save it as PNG");
      }
      for (let c = 0; c < channels; c += 1) data[start + channels * i + c] = strip[4 * i + c];
    }
  }
  decoded.close();
  return data;
}
