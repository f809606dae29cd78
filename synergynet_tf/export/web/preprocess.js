"use strict";

// From pixels to the network's input, and from its logits to labels: number for number
// what synergynet_tf/data/preprocess.py computes, with OpenCV's resizing.
//
// An image is { rows, columns, channels, data, scale }: `data` has the channels of a
// pixel side by side, and a value is `data[i] / scale`, from 0 to 255.

const PERCENTILES = [0.5, 99.5];
// Logits of what a center crop cuts off, where it is the class and where not.
const SURELY = [200, -200];
// Of the network's range: an image that spans less shows it next to nothing.
const FAINT_SPAN = 1 / 16;

// Python's `round`: a half goes to the even neighbor.
function roundHalfEven(number) {
  const floor = Math.floor(number);
  if (number - floor !== 0.5) return Math.round(number);
  return floor % 2 === 0 ? floor : floor + 1;
}

// The pixels that the network sees: a share of each side, in the middle.
function centerBox(rows, columns, share) {
  const cut = (1 - share) / 2;
  const [top, left] = [rows, columns].map((side) =>
    Math.min(roundHalfEven(side * cut), Math.floor((side - 1) / 2)),
  );
  return { top, left, rows: rows - 2 * top, columns: columns - 2 * left };
}

// How many pixels have each value of a channel.
function histogram(image, channel) {
  const { data, channels } = image;
  const counts = new Float64Array(data.BYTES_PER_ELEMENT === 2 ? 65536 : 256);
  for (let i = channel; i < data.length; i += channels) counts[data[i]] += 1;
  return counts;
}

// NumPy's percentiles of the values that a histogram counts; undefined of nothing.
function percentiles(counts, scale) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  const valueAt = (index) => {
    let left = index;
    const value = counts.findIndex((count) => (left -= count) < 0);
    return Math.fround(value / scale);
  };
  return PERCENTILES.map((percentile) => {
    const place = (total - 1) * (percentile / 100);
    const [low, high] = [valueAt(Math.floor(place)), valueAt(Math.ceil(place))];
    const share = place - Math.floor(place);
    const span = high - low;
    return share < 0.5 ? low + span * share : high - span * (1 - share);
  });
}

// What becomes 0 and 1 of a channel.
function channelWindow(image, channel, modality) {
  if (modality === "rgb") return [0, 255];
  const counts = histogram(image, channel);
  const [low, high] = percentiles(counts, image.scale);
  if (low < high) return [low, high];
  // The window has closed on a background of over 99 %.
  const others = counts.map((count, value) =>
    Math.fround(value / image.scale) === low ? 0 : count,
  );
  const ends = percentiles(others, image.scale) ?? [low, high];
  return [Math.min(low, ends[0]), Math.max(high, ends[1])];
}

// For each stored value what the network is given.
function scaledValues(image, [low, high]) {
  const table = new Float32Array(image.data.BYTES_PER_ELEMENT === 2 ? 65536 : 256);
  const span = Math.fround(high > low ? high - low : 1);
  for (let i = 0; i < table.length; i += 1) {
    const value = Math.min(Math.max(Math.fround(i / image.scale), low), high);
    table[i] = Math.fround(value - low) / span;
  }
  return table;
}

// Which source pixels make up a target pixel, and their weights, as in OpenCV's
// INTER_AREA.
function areaCells(from, to) {
  const scale = from / to;
  const cells = { source: [], target: [], weight: [] };
  const add = (source, target, weight) => {
    cells.source.push(source);
    cells.target.push(target);
    cells.weight.push(Math.fround(weight));
  };
  for (let target = 0; target < to; target += 1) {
    const start = target * scale;
    const end = start + scale;
    const width = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    if (first - start > 1e-3) add(first - 1, target, (first - start) / width);
    for (let source = first; source < last; source += 1) add(source, target, 1 / width);
    if (end - last > 1e-3) add(last, target, Math.min(end - last, 1, width) / width);
  }
  return cells;
}

// Averages areas of one channel of an image: `(rows, columns)` of the values in `table`.
function resizeArea(image, channel, table, box, rows, columns) {
  const across = areaCells(box.columns, columns);
  const down = areaCells(box.rows, rows);
  const places = Int32Array.from(across.source, (source) => source * image.channels);
  const targets = Int32Array.from(across.target);
  const weights = Float32Array.from(across.weight);
  const { data } = image;
  const line = new Float32Array(columns);
  const resized = new Float32Array(rows * columns);
  for (let i = 0; i < down.source.length; i += 1) {
    const row = box.top + down.source[i];
    const start = (row * image.columns + box.left) * image.channels + channel;
    line.fill(0);
    for (let k = 0; k < places.length; k += 1) {
      line[targets[k]] += Math.fround(table[data[start + places[k]]] * weights[k]);
    }
    const base = down.target[i] * columns;
    for (let k = 0; k < columns; k += 1) {
      resized[base + k] += Math.fround(line[k] * down.weight[i]);
    }
  }
  return resized;
}

// The two neighbors of each target pixel and the second's weight, as in OpenCV's
// INTER_LINEAR. Of 1, 3 or 4 channels OpenCV on x86 has them from Intel's IPP, whose
// places are not rounded to float32.
function linearTaps(from, to, channels) {
  const scale = from / to;
  const round = isFused(channels) ? (place) => place : Math.fround;
  const [first, second] = [new Int32Array(to), new Int32Array(to)];
  const weight = new Float32Array(to);
  for (let target = 0; target < to; target += 1) {
    const place = round((target + 0.5) * scale - 0.5);
    const floor = Math.floor(place);
    const inside = floor >= 0 && floor < from - 1;
    first[target] = Math.min(Math.max(floor, 0), from - 1);
    second[target] = inside ? floor + 1 : first[target];
    weight[target] = inside ? place - floor : 0;
  }
  return { first, second, weight };
}

// Tells whether OpenCV mixes two neighbors with one rounding (a fused multiply-add).
function isFused(channels) {
  return channels === 1 || channels === 3 || channels === 4;
}

// Returns what mixes two neighbors `a` and `b`, `weight` of the second, in float32.
function linearMix(channels) {
  const { fround } = Math;
  return isFused(channels)
    ? (a, b, weight) => fround(a + fround(b - a) * weight)
    : (a, b, weight) => fround(fround(a * fround(1 - weight)) + fround(b * weight));
}

// Resizes `(rows, columns, channels)` bilinearly and gives `use(row, values)` one row
// after the other; `values` is valid until the next.
function eachLinearRow(grid, rows, columns, use) {
  const { data, channels } = grid;
  const across = linearTaps(grid.columns, columns, channels);
  const down = linearTaps(grid.rows, rows, channels);
  const mix = linearMix(channels);
  // The source rows last used, at the target's width.
  const kept = new Map();
  const widened = (row) => {
    if (kept.has(row)) return kept.get(row);
    const line = new Float32Array(columns * channels);
    const start = row * grid.columns * channels;
    for (let column = 0; column < columns; column += 1) {
      const one = start + across.first[column] * channels;
      const other = start + across.second[column] * channels;
      const weight = across.weight[column];
      for (let c = 0; c < channels; c += 1) {
        line[column * channels + c] = mix(data[one + c], data[other + c], weight);
      }
    }
    kept.set(row, line);
    return line;
  };
  const values = new Float32Array(columns * channels);
  for (let row = 0; row < rows; row += 1) {
    const [one, other] = [down.first[row], down.second[row]];
    for (const old of kept.keys()) if (old < one) kept.delete(old);
    const [above, below] = [widened(one), widened(other)];
    const weight = down.weight[row];
    for (let i = 0; i < values.length; i += 1) values[i] = mix(above[i], below[i], weight);
    use(row, values);
  }
}

// Brings one channel, scaled by `table`, to `(size, size)` as OpenCV's INTER_LINEAR.
function resizeLinear(image, channel, table, box, size) {
  const data = new Float32Array(box.rows * box.columns);
  for (let row = 0; row < box.rows; row += 1) {
    const start = ((box.top + row) * image.columns + box.left) * image.channels + channel;
    for (let column = 0; column < box.columns; column += 1) {
      const value = image.data[start + column * image.channels];
      data[row * box.columns + column] = table[value];
    }
  }
  const resized = new Float32Array(size * size);
  eachLinearRow({ ...box, data, channels: 1 }, size, size, (row, values) =>
    resized.set(values, row * size),
  );
  return resized;
}

// The numbers of the channels that the network is given.
function pickedChannels(image, picked) {
  return picked.length ? picked : [...Array(image.channels).keys()];
}

// Float32 `(size, size, 3)` in [0, 1]: one channel is repeated, and after two the third
// is 0.
function toNetwork(image, { modality, size, picked, centerCrop }) {
  const box = centerBox(image.rows, image.columns, centerCrop);
  const shrinks = Math.min(box.rows, box.columns) >= size;
  const planes = pickedChannels(image, picked).map((channel) => {
    const table = scaledValues(image, channelWindow(image, channel, modality));
    return shrinks
      ? resizeArea(image, channel, table, box, size, size)
      : resizeLinear(image, channel, table, box, size);
  });
  const input = new Float32Array(size * size * 3);
  for (let c = 0; c < 3; c += 1) {
    const plane = planes.length === 1 ? planes[0] : planes[c];
    if (plane === undefined) continue;
    for (let i = 0; i < plane.length; i += 1) {
      input[3 * i + c] = Math.min(Math.max(plane[i], 0), 1);
    }
  }
  return input;
}

// Labels each pixel of an image from logits `{ rows, columns, channels, data }`: brought
// to the image's own size, then labeled. Also returns how many pixels each label has.
function toLabels(logits, rows, columns, centerCrop) {
  const box = centerBox(rows, columns, centerCrop);
  const { channels } = logits;
  const labels = new Uint8Array(rows * columns);
  eachLinearRow(logits, box.rows, box.columns, (row, values) => {
    const start = (box.top + row) * columns + box.left;
    for (let column = 0; column < box.columns; column += 1) {
      const base = column * channels;
      let best = 0;
      if (channels === 1) {
        best = values[base] > 0 ? 1 : 0;
      } else {
        // The first of equals.
        for (let c = 1; c < channels; c += 1) {
          if (values[base + c] > values[base + best]) best = c;
        }
      }
      labels[start + column] = best;
    }
  });
  const counts = new Array(Math.max(2, channels)).fill(0);
  for (const label of labels) counts[label] += 1;
  return { labels, counts };
}

// The probability of each label at one pixel of an image of `rows` x `columns`.
function probabilitiesAt(logits, row, column, rows, columns, { centerCrop, temperature }) {
  const box = centerBox(rows, columns, centerCrop);
  const { data, channels } = logits;
  const [y, x] = [row - box.top, column - box.left];
  let values = Array.from({ length: channels }, (_, c) =>
    channels > 1 && c === 0 ? SURELY[0] : SURELY[1],
  );
  if (y >= 0 && y < box.rows && x >= 0 && x < box.columns) {
    const down = linearTaps(logits.rows, box.rows, channels);
    const across = linearTaps(logits.columns, box.columns, channels);
    const mix = linearMix(channels);
    const at = (i, j, c) => data[(i * logits.columns + j) * channels + c];
    const along = (i, c) =>
      mix(at(i, across.first[x], c), at(i, across.second[x], c), across.weight[x]);
    values = values.map((_, c) =>
      mix(along(down.first[y], c), along(down.second[y], c), down.weight[y]),
    );
  }
  values = values.map((value) => value / temperature);
  if (channels === 1) {
    const foreground = 1 / (1 + Math.exp(-values[0]));
    return [1 - foreground, foreground];
  }
  const top = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - top));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

// Says why an image shows the network next to nothing; "" for an image like most.
function findFaint(image, { modality, picked }) {
  const channels = pickedChannels(image, picked);
  const ends = (counts) => {
    const lowest = counts.findIndex((count) => count > 0);
    const highest = counts.findLastIndex((count) => count > 0);
    return [lowest, highest].map((value) => value / image.scale);
  };
  const each = channels.map((channel) => histogram(image, channel));
  const shown = (value) => Number(value.toPrecision(6));
  if (modality === "rgb") {
    const all = each.map(ends);
    const lowest = Math.min(...all.map(([low]) => low));
    const highest = Math.max(...all.map(([, high]) => high));
    if (lowest === highest) return `its image is ${shown(lowest)} everywhere`;
    if (highest - lowest >= FAINT_SPAN * 255) return "";
    return (
      `its values, ${shown(lowest)} to ${shown(highest)}, show the network next to ` +
      "nothing: 0 to 255 become 0 to 1"
    );
  }
  const reasons = each.map((counts) => {
    const [lowest, highest] = ends(counts);
    if (lowest === highest) return `its image is ${shown(lowest)} everywhere`;
    const [low, high] = percentiles(counts, image.scale);
    if (low < high) return "";
    return `over 99 % of its pixels are ${shown(low)}; it is scaled by the others`;
  });
  return reasons
    .map((reason, i) =>
      reason && channels.length > 1 ? `channel ${channels[i]}: ${reason}` : reason,
    )
    .filter(Boolean)
    .join("; ");
}
