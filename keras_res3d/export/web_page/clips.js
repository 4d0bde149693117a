// Which frames make a clip, and their pixels as the model takes them: the same rules as keras_res3d.data.
"use strict";

const res3dClips = {
  // Halves go to the even number, as NumPy rounds them.
  round(value) {
    const low = Math.floor(value), rest = value - low;
    return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
  },

  // Frame numbers of each clip, spread evenly; past the end of the video the last frame repeats.
  evenClips(numFrames, frames, stride, clips) {
    const last = Math.max(0, numFrames - ((frames - 1) * stride + 1));
    const starts = new Set();
    if (clips === 1) starts.add(Math.floor(last / 2));
    else {
      const step = last / (clips - 1);
      for (let i = 0; i < clips; i++) starts.add(i === clips - 1 ? last : this.round(i * step));
    }
    return [...starts].map((start) =>
      Array.from({ length: frames }, (_, i) => Math.min(start + i * stride, numFrames - 1)));
  },

  // RGBA pixels to RGB of another size: bilinear without anti-aliasing, as OpenCV's INTER_LINEAR, up to one level.
  resize(rgba, height, width, newHeight, newWidth) {
    const places = (count, size) => {
      const low = new Int32Array(size), high = new Int32Array(size), share = new Float32Array(size);
      for (let i = 0; i < size; i++) {
        const place = Math.min(Math.max((i + 0.5) * count / size - 0.5, 0), count - 1);
        low[i] = Math.floor(place);
        high[i] = Math.min(low[i] + 1, count - 1);
        share[i] = place - low[i];
      }
      return { low, high, share };
    };
    const rows = places(height, newHeight), columns = places(width, newWidth);
    const rgb = new Uint8Array(newHeight * newWidth * 3);
    for (let y = 0, out = 0; y < newHeight; y++) {
      const above = rows.low[y] * width, below = rows.high[y] * width, down = rows.share[y];
      for (let x = 0; x < newWidth; x++) {
        const left = columns.low[x], right = columns.high[x], across = columns.share[x];
        for (let c = 0; c < 3; c++, out++) {
          const top = rgba[4 * (above + left) + c] * (1 - across) + rgba[4 * (above + right) + c] * across;
          const bottom = rgba[4 * (below + left) + c] * (1 - across) + rgba[4 * (below + right) + c] * across;
          rgb[out] = Math.round(top * (1 - down) + bottom * down);
        }
      }
    }
    return rgb;
  },

  centreCrop(rgb, height, width, cropHeight, cropWidth) {
    const top = Math.floor((height - cropHeight) / 2), left = Math.floor((width - cropWidth) / 2);
    const out = new Uint8Array(cropHeight * cropWidth * 3);
    for (let y = 0; y < cropHeight; y++) {
      const start = 3 * ((top + y) * width + left);
      out.set(rgb.subarray(start, start + 3 * cropWidth), 3 * y * cropWidth);
    }
    return out;
  },

  // Pixels as a model without preprocessing of its own takes them.
  preprocess(rgb, row) {
    const out = new Float32Array(rgb.length);
    for (let i = 0; i < rgb.length; i++) {
      const channel = i % 3, from = row.order === "bgr" ? i - channel + (2 - channel) : i;
      out[i] = (rgb[from] * row.scale - row.mean[channel]) / row.std[channel];
    }
    return out;
  },

  // The place of a frame in the file's own clock: the middle of the time in which it is shown.
  secondOf(number, rate) {
    return (number + 0.5) / rate;
  },

  // Mean over the clips of scores (clips x classes), and the best classes, of equal scores the lower number first.
  best(scores, count) {
    const mean = scores[0].map((_, k) => scores.reduce((sum, row) => sum + row[k], 0) / scores.length);
    const order = mean.map((_, k) => k).sort((a, b) => mean[b] - mean[a] || a - b);
    return order.slice(0, count).map((number) => ({ number, score: mean[number] }));
  },
};

if (typeof module !== "undefined") module.exports = res3dClips;
