// The page: loads onnxruntime-web, takes clips from the chosen video, runs the model, shows the scores.
"use strict";

const VERSION = "1.30.0";
const SCRIPT = "ort.wasm.min.js";
const CDN = `https://cdn.jsdelivr.net/npm/onnxruntime-web@${VERSION}/dist/`;
// Of SCRIPT as the package index has it; a browser refuses another file.
const INTEGRITY = "sha384-Bw6URI+Gvoadw0do7/QrSHUC9D1vCYYK5OSqChFyhyV5mzPL4oe2rOAFljAnS8Sq";
const CLIPS = 10;

const res3dPage = (() => {
  const model = globalThis.res3dModel;
  const { sampling } = model;
  const find = (id) => document.getElementById(id);
  const say = (text, bad = false) => { find("state").textContent = text; find("state").className = bad ? "bad" : ""; };
  let session = null, frameSource = "";

  const load = (address, integrity) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    if (integrity) { script.integrity = integrity; script.crossOrigin = "anonymous"; }
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${address} cannot be loaded`));
    document.head.append(script);
  });

  async function loadRuntime() {
    // A folder beside the page comes first: it works without a network.
    const local = new URL("ort/", document.baseURI).href;
    try { await load(local + SCRIPT); frameSource = local; } catch { await load(CDN + SCRIPT, INTEGRITY); frameSource = CDN; }
    globalThis.ort.env.wasm.wasmPaths = frameSource;
    globalThis.ort.env.wasm.numThreads = 1;
  }

  async function open() {
    if (session) return session;
    say("Loading the model …");
    await loadRuntime();
    const bytes = Uint8Array.from(atob(model.onnx), (c) => c.charCodeAt(0));
    session = await globalThis.ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    say("Ready. Choose a video.");
    return session;
  }

  // Scores of one clip: pixels is a Uint8Array of (frames, height, width, 3).
  async function score(pixels) {
    const opened = await open();
    const data = model.input.type === "uint8" ? pixels : res3dClips.preprocess(pixels, model.preprocessing);
    const tensor = new globalThis.ort.Tensor(model.input.type, data, [1, ...model.input.shape]);
    const results = await opened.run({ [opened.inputNames[0]]: tensor });
    return Array.from(results[opened.outputNames[0]].data);
  }

  const event = (target, name) => new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener("error", () => reject(new Error("This browser cannot play the video.")), { once: true });
  });

  // Frames a second, by the times of frames that are shown one after another.
  async function frameRate(video) {
    const times = [];
    video.playbackRate = 0.5;
    await video.play();
    await new Promise((resolve) => {
      const end = setTimeout(resolve, 3000);
      const next = (_, meta) => {
        times.push(meta.mediaTime);
        if (times.length >= 24 || video.ended) { clearTimeout(end); resolve(); } else video.requestVideoFrameCallback(next);
      };
      video.addEventListener("ended", resolve, { once: true });
      video.requestVideoFrameCallback(next);
    });
    video.pause();
    const gaps = times.slice(1).map((time, i) => time - times[i]).filter((gap) => gap > 1e-4).sort((a, b) => a - b);
    return gaps.length ? 1 / gaps[Math.floor((gaps.length - 1) / 2)] : 25;
  }

  async function clipPixels(video, canvas, seconds) {
    const [height, width] = sampling.resize, [cropHeight, cropWidth] = sampling.crop;
    const clip = new Uint8Array(seconds.length * cropHeight * cropWidth * 3);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    let before = -1, frame = null;
    for (let i = 0; i < seconds.length; i++) {
      if (seconds[i] !== before) {
        const there = event(video, "seeked");
        video.currentTime = before = seconds[i];
        await there;
        context.drawImage(video, 0, 0);
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        const resized = res3dClips.resize(data, canvas.height, canvas.width, height, width);
        frame = res3dClips.centreCrop(resized, height, width, cropHeight, cropWidth);
      }
      clip.set(frame, i * frame.length);
    }
    return clip;
  }

  function show(scores) {
    const list = find("best");
    list.replaceChildren(...res3dClips.best(scores, 5).map(({ number, score }) => {
      const row = document.createElement("li"), name = document.createElement("span");
      const value = document.createElement("b"), bar = document.createElement("meter");
      name.textContent = model.labels[number] ?? `class ${number}`;
      value.textContent = score.toFixed(4);
      bar.max = 1;
      bar.value = score;
      row.append(name, value, bar);
      return row;
    }));
  }

  async function scoreFile(file) {
    const video = find("video"), canvas = document.createElement("canvas");
    await open();
    say("Reading the video …");
    const ready = event(video, "loadeddata");
    video.src = URL.createObjectURL(file);
    await ready;
    const rate = sampling.fps ?? await frameRate(video);
    const count = Math.max(1, Math.round(video.duration * rate));
    const places = res3dClips.evenClips(count, sampling.frames, sampling.stride, CLIPS), scores = [];
    for (const [i, place] of places.entries()) {
      say(`Clip ${i + 1} of ${places.length} …`);
      const end = Math.max(0, video.duration - 1e-3);
      const seconds = place.map((number) => Math.min(res3dClips.secondOf(number, rate), end));
      scores.push(await score(await clipPixels(video, canvas, seconds)));
      show(scores);
    }
    say(`${scores.length} clips at ${rate.toFixed(2)} frames a second.`);
    return scores;
  }

  const guarded = (work) => (...given) => work(...given).catch((error) => { say(String(error.message ?? error), true); });

  if (typeof document !== "undefined") {
    document.title = find("net").textContent = model.net;
    find("classes").textContent = `${model.labels.length} classes, ${sampling.frames} frames of ` +
      `${sampling.crop[0]} x ${sampling.crop[1]} pixels, every ${sampling.stride}.`;
    find("version").textContent = VERSION;
    find("file").addEventListener("change", guarded(async () => {
      if (find("file").files.length) await scoreFile(find("file").files[0]);
    }));
    guarded(open)();
  }
  return { score, scoreFile };
})();
