// From a picture of any size to the model's input, as nn/transforms.py does it: OpenCV's resize of bytes, step by step.
// A picture is {width, height, data}: RGB, three bytes a pixel, rows from the top.

const FINE = 4; // times the wanted size: from there a picture is halved first (core/image.py)
const LARGE = 250_000; // pixels (nn/transforms.py)
const GRAY = 114; // of what is padded
const BITS = 11; // of OpenCV's weights in whole numbers

/** A canvas's RGBA bytes as a picture. */
export function pictureOf({ width, height, data }) {
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  return { width, height, data: rgb };
}

/** The model's input (3, height, width): planes of red, green and blue. */
export function toInput(picture, { width, height, fit }) {
  const { data } = resized(fit === "pad" ? padded(picture, width / height) : fit === "crop" ? middle(picture, width / height) : picture, width, height);
  const size = width * height, planes = new Uint8Array(3 * size);
  for (let pixel = 0, from = 0; pixel < size; pixel++) {
    planes[pixel] = data[from++];
    planes[size + pixel] = data[from++];
    planes[2 * size + pixel] = data[from++];
  }
  return planes;
}

export function resized(picture, width, height) {
  if (picture.width === width && picture.height === height) return picture;
  while (picture.width > FINE * width && picture.height > FINE * height) {
    const columns = picture.width >> 1, rows = picture.height >> 1;
    picture = byArea(cut(picture, 0, 0, 2 * columns, 2 * rows), columns, rows);
  }
  if (picture.width * picture.height >= LARGE && picture.height >= 2 * height && picture.width >= 2 * width) picture = linear(picture, 2 * width, 2 * height);
  if (picture.width === width && picture.height === height) return picture;
  const shrinks = picture.height > height || picture.width > width;
  if (!shrinks) return linear(picture, width, height);
  if (picture.height < height || picture.width < width) return linear(picture, width, height, true);
  return byArea(picture, width, height);
}

function cut({ width, data }, left, top, columns, rows) {
  const part = new Uint8Array(columns * rows * 3);
  for (let row = 0; row < rows; row++) {
    const from = ((top + row) * width + left) * 3;
    part.set(data.subarray(from, from + columns * 3), row * columns * 3);
  }
  return { width: columns, height: rows, data: part };
}

/** Half to even, as Python and OpenCV round. */
export function round(value) {
  const low = Math.floor(value), rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

function middle(picture, aspect) {
  const { width, height } = picture;
  const columns = Math.min(width, Math.max(1, round(height * aspect))), rows = Math.min(height, Math.max(1, round(width / aspect)));
  return columns === width && rows === height ? picture : cut(picture, (width - columns) >> 1, (height - rows) >> 1, columns, rows);
}

function padded(picture, aspect) {
  const { width, height, data } = picture;
  const rows = Math.max(0, round(width / aspect) - height), columns = Math.max(0, round(height * aspect) - width);
  if (!rows && !columns) return picture;
  const above = rows >> 1, left = columns >> 1, whole = width + columns;
  const filled = new Uint8Array(whole * (height + rows) * 3).fill(GRAY);
  for (let row = 0; row < height; row++) filled.set(data.subarray(row * width * 3, (row + 1) * width * 3), ((above + row) * whole + left) * 3);
  return { width: whole, height: height + rows, data: filled };
}

/** INTER_AREA, where neither side grows. */
function byArea(picture, width, height) {
  const scaleX = picture.width / width, scaleY = picture.height / height;
  return Number.isInteger(scaleX) && Number.isInteger(scaleY) ? byWholeCells(picture, width, height, scaleX, scaleY) : byCells(picture, width, height, scaleX, scaleY);
}

function byWholeCells({ width: stride, data }, width, height, across, down) {
  const out = new Uint8Array(width * height * 3), part = Math.fround(1 / (across * down));
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let row = 0; row < down; row++) {
          let from = ((y * down + row) * stride + x * across) * 3 + channel;
          for (let column = 0; column < across; column++, from += 3) sum += data[from];
        }
        out[to++] = across === 2 && down === 2 ? (sum + 2) >> 2 : round(Math.fround(sum * part));
      }
    }
  }
  return { width, height, data: out };
}

/** Which source cells the target cells cover, and by how much: targets, sources, weights (OpenCV's computeResizeAreaTab). */
function coverage(source, target, scale) {
  const found = [];
  for (let at = 0; at < target; at++) {
    const begins = at * scale, ends = begins + scale, cell = Math.min(scale, source - begins);
    const last = Math.min(Math.floor(ends), source - 1), first = Math.min(Math.ceil(begins), last);
    if (first - begins > 1e-3) found.push([at, first - 1, Math.fround((first - begins) / cell)]);
    for (let one = first; one < last; one++) found.push([at, one, Math.fround(1 / cell)]);
    if (ends - last > 1e-3) found.push([at, last, Math.fround(Math.min(ends - last, 1, cell) / cell)]);
  }
  return [Int32Array.from(found, (one) => one[0]), Int32Array.from(found, (one) => one[1]), Float32Array.from(found, (one) => one[2])];
}

function byCells(picture, width, height, scaleX, scaleY) {
  const { fround } = Math, { data } = picture, stride = picture.width * 3;
  const [columns, sources, parts] = coverage(picture.width, width, scaleX), [rows, lines, weights] = coverage(picture.height, height, scaleY);
  const row = new Float32Array(width * 3), sum = new Float32Array(width * 3), out = new Uint8Array(width * height * 3);
  const finish = (y) => { for (let n = 0, to = y * width * 3; n < sum.length; n++) out[to++] = Math.min(255, round(sum[n])); };
  for (let m = 0; m < rows.length; m++) {
    const above = lines[m] * stride, weight = weights[m];
    row.fill(0);
    for (let n = 0; n < columns.length; n++) {
      const source = above + sources[n] * 3, target = columns[n] * 3, part = parts[n];
      row[target] += fround(data[source] * part);
      row[target + 1] += fround(data[source + 1] * part);
      row[target + 2] += fround(data[source + 2] * part);
    }
    if (m && rows[m] !== rows[m - 1]) { finish(rows[m - 1]); sum.fill(0); }
    for (let n = 0; n < sum.length; n++) sum[n] += fround(row[n] * weight);
  }
  finish(height - 1);
  return { width, height, data: out };
}

/** Two neighbours of each target cell and their weights of 11 bits; `area`: as INTER_AREA has them where a side grows. */
function neighbours(source, target, area) {
  const scale = source / target, found = [];
  for (let at = 0; at < target; at++) {
    let place, low;
    if (area) {
      low = Math.floor(at * scale);
      place = Math.fround(at + 1 - (low + 1) / scale);
      place = place <= 0 ? 0 : Math.fround(place - Math.floor(place));
    } else {
      place = Math.fround((at + 0.5) * scale - 0.5);
      low = Math.floor(place);
      place = Math.fround(place - low);
    }
    if (low < 0) { low = 0; place = 0; }
    if (low >= source - 1) { low = source - 1; place = 0; }
    found.push([low, Math.min(low + 1, source - 1), round(Math.fround(1 - place) * (1 << BITS)), round(place * (1 << BITS))]);
  }
  return [0, 1, 2, 3].map((n) => Int32Array.from(found, (one) => one[n]));
}

/** INTER_LINEAR of bytes, with OpenCV's whole numbers. */
function linear(picture, width, height, area = false) {
  if (!area && picture.width === 2 * width && picture.height === 2 * height) return byArea(picture, width, height); // as OpenCV
  const [lefts, rights, ones, others] = neighbours(picture.width, width, area), [highs, lows, tops, bottoms] = neighbours(picture.height, height, area);
  const { data } = picture, stride = picture.width * 3, out = new Uint8Array(width * height * 3);
  const rows = [0, 1].map(() => ({ y: -1, sums: new Int32Array(width * 3) }));
  const rowOf = (y, place) => {
    if (rows[1 - place].y === y && rows[place].y !== y) rows.reverse(); // the lower row of before is the upper one now
    const row = rows[place], { sums } = row;
    if (row.y === y) return sums;
    for (let x = 0, to = 0; x < width; x++) {
      const left = y * stride + lefts[x] * 3, right = y * stride + rights[x] * 3, one = ones[x], other = others[x];
      sums[to++] = data[left] * one + data[right] * other;
      sums[to++] = data[left + 1] * one + data[right + 1] * other;
      sums[to++] = data[left + 2] * one + data[right + 2] * other;
    }
    row.y = y;
    return sums;
  };
  for (let y = 0, to = 0; y < height; y++) {
    const high = rowOf(highs[y], 0), low = highs[y] === lows[y] ? high : rowOf(lows[y], 1), one = tops[y], other = bottoms[y];
    for (let n = 0; n < high.length; n++) out[to++] = (((one * (high[n] >> 4)) >> 16) + ((other * (low[n] >> 4)) >> 16) + 2) >> 2;
  }
  return { width, height, data: out };
}
