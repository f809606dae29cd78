// The page: takes images, gives them to the worker one after the other, and shows what it
// answers. Before it stands preprocess.js.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  // What the page cannot do without, and what a browser that lacks it is told.
  const NEEDED = ["Worker", "WebAssembly", "DecompressionStream", "OffscreenCanvas"];
  // Arrow keys cross an image in so many steps; with Shift they go pixel by pixel.
  const STEPS = 50;
  const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  const settings = JSON.parse(document.getElementById("settings").textContent);
  const status = document.getElementById("status");
  const progress = document.getElementById("progress");
  const drop = document.getElementById("drop");
  const files = document.getElementById("files");
  const results = document.getElementById("results");
  const classNames = ["background", ...settings.classes.map(({ name }) => name)];

  // Images that wait, oldest first; what the worker is doing; and its state.
  const waiting = [];
  let current = null;
  let worker = null;
  let state = "loading";
  let nextId = 1;

  // --- The model ---

  async function start() {
    const missing = NEEDED.filter((name) => !(name in window));
    if (missing.length) {
      fail(`this browser is too old: it has no ${missing.join(", ")}. Update it.`);
      return;
    }
    if (!settings.embedded && window.location.protocol === "file:") {
      fail("this folder must be served over HTTP, for example with python -m http.server.");
      return;
    }
    try {
      const embedded = settings.embedded ? embeddedFiles() : null;
      worker = new Worker(embedded ? await workerAddress(embedded) : "worker.js");
      worker.addEventListener("message", ({ data }) => receive(data));
      worker.addEventListener("error", (event) => {
        fail(`its worker stopped (${event.message || "worker.js cannot be loaded"}).`);
      });
      worker.postMessage({ kind: "load", settings, embedded });
    } catch (error) {
      fail(`${error.message}.`);
    }
  }

  // The text of each file that the page holds, by name.
  function embeddedFiles() {
    if (!document.getElementById("end")) {
      throw new Error("the page is truncated; make it again, or copy it again as a whole");
    }
    const blocks = [...document.querySelectorAll("script[data-file]")];
    const texts = Object.fromEntries(
      blocks.map((block) => [block.dataset.file, block.textContent]),
    );
    for (const block of blocks) block.remove(); // They take memory twice otherwise.
    return texts;
  }

  async function workerAddress(embedded) {
    try {
      const packed = Uint8Array.from(atob(embedded["worker.js"]), (c) => c.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const text = await new Response(stream).text();
      return URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    } catch {
      throw new Error("worker.js is damaged; make the page again, or copy it again as a whole");
    }
  }

  function fail(message) {
    state = "failed";
    progress.hidden = true;
    files.disabled = true;
    status.className = "warning";
    status.textContent = `The model cannot be used: ${message}`;
    if (current) refuse(current, "the model has stopped");
    for (const view of waiting.splice(0)) refuse(view, "the model cannot be used");
    current = null;
  }

  function receive(message) {
    if (message.kind === "progress") {
      progress.value = message.share;
      const percent = Math.floor(100 * message.share);
      status.textContent =
        percent < 100 ? `Loading the model: ${percent} %.` : "Starting the model.";
    } else if (message.kind === "ready") {
      state = "ready";
      progress.hidden = true;
      status.textContent = "The model is ready.";
      next();
    } else if (message.kind === "step") {
      current.step.textContent = `${message.text}…`;
    } else if (message.id === undefined) {
      fail(`${message.message}.`);
    } else {
      const view = current;
      current = null;
      if (message.kind === "labeled") show(view, message);
      else refuse(view, message.message);
      next();
    }
  }

  function next() {
    if (state !== "ready" || current || !waiting.length) return;
    current = waiting.shift();
    worker.postMessage({ kind: "label", id: current.id, file: current.file });
  }

  // --- Files ---

  function take(list) {
    if (state === "failed") return;
    for (const file of list) {
      const view = makeView(file);
      results.append(view.article);
      waiting.push(view);
    }
    next();
  }

  function makeView(file) {
    const article = document.getElementById("result").content.cloneNode(true).firstElementChild;
    const find = (selector) => article.querySelector(selector);
    const view = { id: nextId, file, article, find, step: find(".step") };
    nextId += 1;
    const title = find("h3");
    title.textContent = file.name;
    title.id = `image-${view.id}`;
    article.setAttribute("aria-labelledby", title.id);
    view.step.textContent = state === "ready" ? "waits…" : "waits for the model…";
    find(".remove").setAttribute("aria-label", `Remove ${file.name}`);
    find(".scroller").setAttribute("aria-label", `Areas and probabilities of ${file.name}`);
    find(".remove").addEventListener("click", () => remove(view));
    return view;
  }

  function remove(view) {
    const place = waiting.indexOf(view);
    if (place >= 0) waiting.splice(place, 1);
    if (view.address) URL.revokeObjectURL(view.address);
    view.article.remove();
    status.textContent = `${view.file.name} is removed.`;
    files.focus({ preventScroll: true });
  }

  function refuse(view, message) {
    view.step.className = "step warning";
    view.step.textContent = `${view.file.name} cannot be segmented: ${message}.`;
    if (state !== "failed") status.textContent = view.step.textContent;
  }

  // --- A segmented image ---

  function show(view, answer) {
    const { find } = view;
    const { rows, columns, shown, counts } = answer;
    Object.assign(view, answer, { marked: null });
    view.step.hidden = true;
    if (answer.remark) {
      view.step.hidden = false;
      view.step.className = "step warning";
      view.step.textContent = `Note: ${answer.remark}.`;
    }
    draw(find(".photo"), shown, answer.photo);
    draw(find(".mask"), shown, colored(answer.shownLabels));
    find(".mask").style.opacity = 0.6;
    const layers = find(".layers");
    layers.style.setProperty("--ratio", columns / rows);
    layers.classList.toggle("small", Math.max(rows, columns) < 640);
    layers.setAttribute("aria-label", `${view.file.name}. Arrow keys move the pointer.`);
    find("figcaption").textContent = `${columns} x ${rows} pixels`;
    fillTable(view, counts);
    find(".code-choice").hidden = !answer.codes;
    view.address = URL.createObjectURL(answer.mask);
    const save = find(".save");
    save.href = view.address;
    save.download = `${view.file.name.replace(/\.[^.]+$/, "")}_mask.png`;
    find(".actions").append(find(".remove"));
    connect(view);
    find(".result").hidden = false;
    const areas = counts.slice(1).map((count, i) => `${classNames[i + 1]} ${share(view, count)}`);
    status.textContent = `${view.file.name} is segmented: ${areas.join(", ")}.`;
  }

  function share(view, count) {
    return `${((100 * count) / (view.rows * view.columns)).toFixed(2)} %`;
  }

  function draw(canvas, { rows, columns }, pixels) {
    canvas.width = columns;
    canvas.height = rows;
    canvas.getContext("2d").putImageData(new ImageData(pixels, columns, rows), 0, 0);
  }

  function colored(labels) {
    const pixels = new Uint8ClampedArray(4 * labels.length);
    const colors = [
      [0, 0, 0, 0],
      ...settings.classes.map(({ color }) => [
        ...[1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16)),
        255,
      ]),
    ];
    const table = new Uint32Array(new Uint8Array(colors.flat()).buffer);
    const whole = new Uint32Array(pixels.buffer);
    for (let i = 0; i < labels.length; i += 1) whole[i] = table[labels[i]];
    return pixels;
  }

  function fillTable(view, counts) {
    const body = view.find("tbody");
    view.here = counts.map((count, label) => {
      const row = body.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      if (label) head.append(swatch(settings.classes[label - 1].color), " ");
      head.append(classNames[label]);
      row.append(head);
      row.insertCell().textContent = count.toLocaleString("en");
      row.insertCell().textContent = share(view, count);
      return row.insertCell();
    });
  }

  function swatch(color) {
    const svg = svgElement("svg", { width: 14, height: 14, "aria-hidden": "true" });
    svg.append(svgElement("rect", { width: 14, height: 14, rx: 2, fill: color }));
    return svg;
  }

  function svgElement(name, attributes) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  function connect(view) {
    const { find, rows, columns } = view;
    const layers = find(".layers");
    const opacity = find(".opacity");
    opacity.addEventListener("input", () => {
      find(".mask").style.opacity = opacity.value / 100;
      opacity.nextElementSibling.textContent = `${opacity.value} %`;
    });
    find(".show-codes").addEventListener("change", () => mark(view));
    const follow = (event) => {
      const box = layers.getBoundingClientRect();
      const at = (place, start, length, count) =>
        Math.min(Math.max(Math.floor(((place - start) / length) * count), 0), count - 1);
      pointAt(
        view,
        at(event.clientY, box.top, box.height, rows),
        at(event.clientX, box.left, box.width, columns),
      );
    };
    layers.addEventListener("pointermove", follow);
    layers.addEventListener("pointerdown", follow);
    layers.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const step = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(rows, columns) / STEPS));
      const from = view.point ?? [Math.floor(rows / 2), Math.floor(columns / 2)];
      const [row, column] = from.map((place, i) => {
        const side = i ? columns : rows;
        return Math.min(Math.max(place + (view.point ? step * arrow[i] : 0), 0), side - 1);
      });
      pointAt(view, row, column);
    });
  }

  // Shows what the model says of one pixel.
  function pointAt(view, row, column) {
    if (view.point?.[0] === row && view.point[1] === column) return;
    view.point = [row, column];
    const { find, logits, rows, columns } = view;
    const marker = find(".marker");
    marker.hidden = false;
    marker.style.left = `${(100 * (column + 0.5)) / columns}%`;
    marker.style.top = `${(100 * (row + 0.5)) / rows}%`;
    const shares = probabilitiesAt(logits, row, column, rows, columns, settings);
    const top = shares.indexOf(Math.max(...shares));
    shares.forEach((value, label) => {
      view.here[label].textContent = `${(100 * value).toFixed(1)} %`;
      view.here[label].parentElement.classList.toggle("top", label === top);
    });
    mark(view);
    const said = `x ${column}, y ${row}: ${classNames[top]} ${(100 * shares[top]).toFixed(1)} %.`;
    find(".pointer").textContent = `${said} ${codeText(view)}`;
  }

  // The code under the pointer and its positions; null where there is none.
  function codeHere({ codes, point, rows, columns }) {
    if (!codes || !point) return null;
    const box = centerBox(rows, columns, settings.centerCrop);
    const [y, x] = [point[0] - box.top, point[1] - box.left];
    if (y < 0 || y >= box.rows || x < 0 || x >= box.columns) return null;
    const row = Math.floor(((y + 0.5) * codes.rows) / box.rows);
    const column = Math.floor(((x + 0.5) * codes.columns) / box.columns);
    const code = codes.data[row * codes.columns + column];
    const places = [...codes.data.keys()].filter((i) => codes.data[i] === code);
    return { code, places, box };
  }

  function codeText(view) {
    if (!view.codes) return "";
    const here = codeHere(view);
    if (!here) return "The model does not see this border.";
    return `Code ${here.code}, at ${here.places.length} of ${view.codes.data.length} positions.`;
  }

  // Marks every position that has the code under the pointer.
  function mark(view) {
    const here = view.find(".show-codes").checked ? codeHere(view) : null;
    if (here?.code === view.marked) return;
    view.marked = here?.code;
    const svg = view.find(".codes");
    svg.replaceChildren();
    if (!here) return;
    const { codes, rows, columns } = view;
    const { box, places } = here;
    svg.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
    const [height, width] = [box.rows / codes.rows, box.columns / codes.columns];
    for (const className of ["edge", "chosen"]) {
      for (const place of places) {
        const x = box.left + (place % codes.columns) * width;
        const y = box.top + Math.floor(place / codes.columns) * height;
        svg.append(svgElement("rect", { x, y, width, height, class: className }));
      }
    }
  }

  // --- Events ---

  files.addEventListener("change", () => {
    take([...files.files]);
    files.value = ""; // So that the same file can be chosen again.
  });
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  document.addEventListener("DOMContentLoaded", start);
})();
