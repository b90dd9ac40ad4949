// Inspects PNG files with a model that `blemish export` wrote: node inspect.mjs MODEL.onnx IMAGE.png ... [--json]
// What the file asks for is written in docs/line-pc.md. Exits with 0 all good, 1 some defective, 2 some not decided.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import ort from "onnxruntime-node";
import { PNG } from "pngjs";

const FORMAT = 1;
const LEAST = 8;

/** Metadata of an ONNX file: field 14 of its outermost message, entries of key (1) and value (2). */
export function metadata(bytes) {
  const texts = {};
  for (const [field, content] of fields(bytes)) {
    if (field !== 14) continue;
    const entry = new Map(fields(content));
    texts[entry.get(1).toString("utf8")] = entry.get(2).toString("utf8");
  }
  return texts;
}

function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= bytes.length) throw new Error("the model file is cut off");
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    if (tag % 8 === 0) varint();
    else if (tag % 8 === 2) {
      const length = varint();
      if (at + length > bytes.length) throw new Error("the model file is cut off");
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else throw new Error("this is no ONNX file");
  }
}

/** What an exported file says of itself: the values of its metadata, by name without "blemish.". */
export function described(bytes) {
  const values = {};
  for (const [key, text] of Object.entries(metadata(bytes)))
    if (key.startsWith("blemish.")) values[key.slice(8)] = JSON.parse(text);
  if (values.format !== FORMAT) throw new Error(`the model has format ${values.format}; this example reads ${FORMAT}`);
  return values;
}

/** A PNG as { height, width, data }: RGB floats in [0, 1], row by row, three numbers a pixel. */
export function read(bytes, white) {
  const deep = bytes[24] === 16; // bits of a channel, in the PNG's header
  const png = PNG.sync.read(bytes, { skipRescale: deep }); // four channels; grey is repeated
  const largest = deep ? 65535 : 255;
  if (white !== null && white > largest) throw new Error(`values end at ${largest}, so ${white} cannot be white`);
  const unit = Math.fround(1 / (white ?? largest));
  const data = new Float32Array(png.height * png.width * 3);
  for (let pixel = 0; pixel < png.height * png.width; pixel++)
    for (let channel = 0; channel < 3; channel++) {
      const value = png.data[4 * pixel + channel] * unit;
      data[3 * pixel + channel] = white === null ? value : Math.min(1, value);
    }
  return { height: png.height, width: png.width, data };
}

/** The network's input (3, height, width) for an image, in the order of docs/line-pc.md. */
export function prepare(image, imaging) {
  if (Math.min(image.height, image.width) < LEAST) throw new Error(`each side of an image needs ${LEAST} pixels`);
  if (imaging.ignore !== null) cover(image, PNG.sync.read(Buffer.from(imaging.ignore, "base64")));
  if (imaging.roi !== null) image = cut(image, ...imaging.roi);
  image = resize(image, ...imaging.size);
  if (imaging.crop !== null) {
    const top = Math.floor((image.height - imaging.crop[0]) / 2);
    const left = Math.floor((image.width - imaging.crop[1]) / 2);
    image = cut(image, left, top, left + imaging.crop[1], top + imaging.crop[0]);
  }
  const count = image.height * image.width;
  const planes = new Float32Array(3 * count);
  for (let pixel = 0; pixel < count; pixel++)
    for (let channel = 0; channel < 3; channel++) planes[channel * count + pixel] = image.data[3 * pixel + channel];
  return { height: image.height, width: image.width, data: planes };
}

/** Paint what is ignored mid-grey: the mask is stretched over the image by nearest neighbour. */
function cover(image, mask) {
  const rows = nearest(mask.height, image.height), columns = nearest(mask.width, image.width);
  for (let y = 0; y < image.height; y++)
    for (let x = 0; x < image.width; x++) {
      if (mask.data[4 * (rows[y] * mask.width + columns[x])] === 0) continue;
      image.data.fill(0.5, 3 * (y * image.width + x), 3 * (y * image.width + x) + 3);
    }
}

/** For each target pixel the nearest source pixel. */
function nearest(length, target) {
  return Array.from({ length: target }, (_, t) => Math.floor(((2 * t + 1) * length) / (2 * target)));
}

function cut(image, left, top, right, bottom) {
  if (right > image.width || bottom > image.height)
    throw new Error(`the region of interest does not fit in an image of ${image.width} x ${image.height} pixels`);
  const data = new Float32Array((bottom - top) * (right - left) * 3);
  for (let y = top; y < bottom; y++) {
    const start = 3 * (y * image.width + left);
    data.set(image.data.subarray(start, start + 3 * (right - left)), 3 * (y - top) * (right - left));
  }
  return { height: bottom - top, width: right - left, data };
}

/** Each axis by itself: averaged over the pixels it loses, or interpolated linearly where it grows. */
export function resize(image, height, width) {
  const rows = along(image.data, 1, image.height, 3 * image.width, height);
  return { height, width, data: along(rows, height, image.width, 3, width) };
}

/** Data of (outer, length, inner) numbers, with `target` in place of `length`. */
function along(data, outer, length, inner, target) {
  if (target === length) return data;
  const parts = target < length ? averaged(length, target) : interpolated(length, target);
  const found = new Float32Array(outer * target * inner);
  for (let o = 0; o < outer; o++)
    for (let t = 0; t < target; t++)
      for (let i = 0; i < inner; i++) {
        let sum = 0;
        for (const [source, weight] of parts[t]) sum += weight * data[(o * length + source) * inner + i];
        found[(o * target + t) * inner + i] = sum;
      }
  return found;
}

/** For each target pixel the source pixels in its interval, each with the share that lies in it. */
function averaged(length, target) {
  const scale = length / target;
  return Array.from({ length: target }, (_, t) => {
    const begin = t * scale, end = Math.min(length, (t + 1) * scale), found = [];
    for (let s = Math.floor(begin); s < end; s++) found.push([s, Math.min(end, s + 1) - Math.max(begin, s)]);
    const whole = found.reduce((sum, [, share]) => sum + share, 0);
    return found.map(([s, share]) => [s, share / whole]);
  });
}

function interpolated(length, target) {
  return Array.from({ length: target }, (_, t) => {
    const x = Math.min(length - 1, Math.max(0, ((t + 0.5) * length) / target - 0.5));
    const s = Math.floor(x);
    return [[s, 1 - (x - s)], [Math.min(length - 1, s + 1), x - s]];
  });
}

/** The verdict on one image: score, and with a calibration the p-value and the decision. */
export async function inspect(session, model, bytes) {
  const input = prepare(read(bytes, model.imaging.white), model.imaging);
  const image = new ort.Tensor("float32", input.data, [1, 3, input.height, input.width]);
  const { score: scores } = await session.run({ image });
  const score = scores.data[0];
  if (!Number.isFinite(score)) throw new Error("the score is not a number");
  if (model.calibration === null) return { score, p_value: null, threshold: null, verdict: null };
  const { threshold, good_scores: good } = model.calibration;
  const p_value = (1 + good.filter((other) => other >= score).length) / (good.length + 1);
  return { score, p_value, threshold, verdict: score >= threshold ? "defective" : "good" };
}

async function main(words) {
  const json = words.includes("--json");
  const [path, ...images] = words.filter((word) => word !== "--json");
  if (images.length === 0) throw new Error("usage: node inspect.mjs MODEL.onnx IMAGE.png ... [--json]");
  const bytes = readFileSync(path);
  const model = described(bytes);
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  let code = 0;
  for (const key of images) {
    let found;
    try {
      found = { key, ...(await inspect(session, model, readFileSync(key))) };
    } catch (error) {
      found = { key, verdict: "error", error: error.message };
    }
    code = Math.max(code, { good: 0, defective: 1 }[found.verdict] ?? 2);
    const said = found.verdict ?? "no threshold";
    const score = found.error ?? `score ${found.score}, threshold ${found.threshold}, p ${found.p_value}`;
    console.log(json ? JSON.stringify(found) : `${said.padEnd(12)} ${score}  ${key}`);
  }
  process.exitCode = code;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  main(process.argv.slice(2)).catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
  });
