"""The script of the page in which a network runs: text or sliders, bars, line charts, and states as heat maps."""

PAGE_SCRIPT = r"""
const byId = (id) => document.getElementById(id);
const tokens = NETWORK.tokens > 0, fragment = new URLSearchParams(location.hash.slice(1));
const MOST_BARS = 12, MOST_LINES = 6, MOST_INPUTS = PAGE.sliders, SHOWN = 120;
const net = new Net();
const labelled = PAGE.output !== "numbers";
let fed = [];      // tokens, or x, of every step since the reset
let past = [];     // { x, y, values, mark } of the last steps; values: the numbers of every picture
let timer = null;

function element(name, attributes, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

// Steps.

function shown(symbol) {
  return symbol.replace(/ /g, "␣").replace(/\n/g, "⏎").replace(/\t/g, "⇥");
}

function feed(x) {
  const y = net.step(x);
  fed.push(x);
  past.push({ x, y, values: PAGE.pictures.map(valuesOf), mark: tokens ? PAGE.vocabulary[x] : "" });
  if (past.length > SHOWN) past.shift();
}

// The numbers of a state, or of a gate after the last step: the step leaves these in the workspace.
function valuesOf({ kind, at, width }) {
  const first = kind === "gate" ? net.exports.work.value : net.exports.state.value;
  return new Float32Array(net.exports.memory.buffer, first + 4 * at, width).slice();
}

function restart() {
  net.reset();
  fed = [];
  past = [];
}

function probabilities(y) {
  if (PAGE.output === "probabilities") return Array.from(y);
  if (PAGE.output === "log probabilities") return Array.from(y, Math.exp);
  if (PAGE.output === "separate scores") return Array.from(y, (v) => 1 / (1 + Math.exp(-v)));
  const most = Math.max(...y), e = Array.from(y, (v) => Math.exp(v - most)), sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

// Drawing.

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function parts(hex) { return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)); }

function canvas(id, height) {
  const c = byId(id), width = c.clientWidth || 320, scale = window.devicePixelRatio || 1;
  c.width = Math.round(width * scale);
  c.height = Math.round(height * scale);
  c.style.height = height + "px";
  const g = c.getContext("2d");
  g.scale(scale, scale);
  g.font = "12px " + getComputedStyle(document.body).fontFamily;
  return { g, width, height };
}

function drawBars() {
  if (!labelled) return;
  const box = byId("bars"), last = past[past.length - 1];
  box.replaceChildren();
  if (!last) {
    box.append(element("p", { class: "lead" }, "No step yet."));
    delete box.dataset.y;
    return;
  }
  const p = probabilities(last.y);
  box.dataset.y = JSON.stringify(Array.from(last.y));
  box.dataset.p = JSON.stringify(p);
  const order = p.map((_, k) => k).sort((a, b) => p[b] - p[a]).slice(0, MOST_BARS);
  for (const k of order) {
    const name = element("span", { class: "symbol" }, PAGE.predicts ? shown(PAGE.labels[k]) : PAGE.labels[k]);
    const bar = element("span", { class: "bar" }, element("span", { style: `width: ${(100 * p[k]).toFixed(2)}%` }));
    const share = element("span", { class: "share" }, (100 * p[k]).toFixed(1) + " %");
    box.append(element("div", { class: "row" }, name, bar, share));
  }
  const rest = p.length - order.length;
  if (rest > 0) {
    const share = 100 * Math.max(0, 1 - order.reduce((sum, k) => sum + p[k], 0));
    const words = PAGE.output === "separate scores" ? `${rest} others` : `${rest} others: ${share.toFixed(1)} %`;
    box.append(element("p", { class: "lead" }, words));
  }
}

const INKS = ["--blue", "--red", "--green", "--pink", "--sky", "--ochre"];

function drawLines(id, names, values, low, high) {
  const { g, width, height } = canvas(id, 170), left = 44, right = 8, top = 8, bottom = 18;
  const count = Math.min(names.length, MOST_LINES);
  let least = low, most = high;
  for (const v of values) {
    for (let k = 0; k < count; k++) { least = Math.min(least, v[k]); most = Math.max(most, v[k]); }
  }
  if (!(most > least)) { least -= 1; most += 1; }
  const atX = (t) => left + (width - left - right) * t / (SHOWN - 1);
  const atY = (v) => top + (height - top - bottom) * (most - v) / (most - least);
  g.strokeStyle = colour("--grid");
  g.fillStyle = colour("--dim");
  g.textAlign = "right";
  g.textBaseline = "middle";
  for (const v of [least, (least + most) / 2, most]) {
    g.beginPath();
    g.moveTo(left, atY(v));
    g.lineTo(width - right, atY(v));
    g.stroke();
    g.fillText(Number(v.toPrecision(2)).toString(), left - 6, atY(v));
  }
  g.textAlign = "left";
  g.fillText(`last ${SHOWN} steps`, left, height - 6);
  g.lineWidth = 2;
  const first = SHOWN - values.length;
  for (let k = 0; k < count; k++) {
    g.strokeStyle = colour(INKS[k]);
    g.beginPath();
    values.forEach((v, t) => (t ? g.lineTo(atX(first + t), atY(v[k])) : g.moveTo(atX(first + t), atY(v[k]))));
    g.stroke();
  }
  const last = values[values.length - 1];
  const more = names.length > count ? [element("span", {}, `and ${names.length - count} more, not drawn`)] : [];
  byId(id + "-key").replaceChildren(...names.slice(0, count).map((name, k) => element("span", { class: "key" },
    element("i", { style: `background: var(${INKS[k]})` }), `${name} ${last ? last[k].toFixed(4) : ""}`)), ...more);
}

function signed(v) { return v.toPrecision(3).replace("-", "−"); }

// A heat map: its numbers as an image of a pixel each, which is then drawn at the size that it has on the page.
function drawPicture(picture, k) {
  const units = picture.width, tall = Math.max(24, Math.min(units * 9, 128));
  const { g, width } = canvas("picture" + k, tall + (tokens ? 16 : 0));
  const wide = tokens ? 14 : width / SHOWN, columns = past.slice(-Math.floor(width / wide + 1e-6));
  const first = tokens ? 0 : width - columns.length * wide;
  let most = 1e-6;
  for (const step of columns) for (const v of step.values[k]) most = Math.max(most, Math.abs(v));
  const range = picture.range ? picture.range : [-most, most], full = Math.max(...range.map(Math.abs));
  const none = parts(colour("--soft")), less = parts(colour("--blue")), more = parts(colour("--red"));
  if (columns.length) {
    const image = new ImageData(columns.length, units);
    columns.forEach((step, t) => step.values[k].forEach((v, u) => {
      // States are seldom near their greatest value: the root keeps the small ones apart. Gates are linear.
      const size = Math.min(1, Math.abs(v) / full), share = picture.kind === "gate" ? size : Math.sqrt(size);
      const end = v < 0 ? less : more, at = 4 * (u * columns.length + t);
      for (let i = 0; i < 3; i++) image.data[at + i] = none[i] + (end[i] - none[i]) * share;
      image.data[at + 3] = 255;
    }));
    const small = element("canvas", { width: columns.length, height: units });
    small.getContext("2d").putImageData(image, 0, 0);
    g.imageSmoothingEnabled = units > tall * (window.devicePixelRatio || 1);
    g.drawImage(small, first, 0, wide * columns.length, tall);
  }
  g.fillStyle = colour("--ink");
  g.textAlign = "center";
  if (tokens) columns.forEach((step, t) => g.fillText(shown(step.mark).slice(0, 2), (t + 0.5) * wide, tall + 12));
  const ends = picture.range ? `${range[0]} to ${range[1]}`.replace("-", "−") : `±${signed(most)}`;
  byId(`picture${k}-range`).textContent = picture.range || columns.length ? `, ${ends}` : "";
}

function draw() {
  const last = past[past.length - 1];
  byId("steps").textContent = String(fed.length);
  document.body.dataset.steps = fed.length;
  document.body.dataset.output = last ? JSON.stringify(Array.from(last.y)) : "[]";
  drawBars();
  if (!labelled) {
    const [mean, deviation] = PAGE.outputScale, ys = past.map((p) => Array.from(p.y, (v) => mean + deviation * v));
    drawLines("outputs", PAGE.labels, ys, Infinity, -Infinity);
  }
  if (!tokens) {
    const xs = past.map((p) => Array.from(p.x, outside));
    const all = PAGE.scales.slice(0, MOST_LINES).flatMap(([m, d]) => [PAGE.low, PAGE.high].map((v) => m + d * v));
    drawLines("signal", PAGE.inputs, xs, Math.min(...all), Math.max(...all));
  }
  document.body.dataset.gates = JSON.stringify(Object.fromEntries(PAGE.pictures.flatMap((p, k) =>
    (last && p.kind === "gate" ? [[p.full, Array.from(last.values[k])]] : []))));
  PAGE.pictures.forEach(drawPicture);
}

// Text.

function split(given) {
  const form = PAGE.normalForm ? given.normalize(PAGE.normalForm) : given;
  const text = PAGE.lowercase ? form.toLowerCase() : form;
  const found = [], left = new Set(), longest = Math.max(...PAGE.vocabulary.map((w) => w.length));
  if (PAGE.pattern !== null) {
    for (const [one] of text.matchAll(new RegExp(PAGE.pattern, "gu"))) {
      if (places.has(one)) found.push(places.get(one));
      else {
        left.add(one);
        if (PAGE.unknown !== null) found.push(places.get(PAGE.unknown));
      }
    }
    return { found, left };
  }
  for (let at = 0; at < text.length;) {
    let size = Math.min(longest, text.length - at);
    while (size > 0 && !places.has(text.slice(at, at + size))) size--;
    if (size === 0) {
      const one = String.fromCodePoint(text.codePointAt(at));
      left.add(one);
      if (PAGE.unknown !== null) found.push(places.get(PAGE.unknown));
      at += one.length;
    } else {
      found.push(places.get(text.slice(at, at + size)));
      at += size;
    }
  }
  return { found, left };
}

const places = new Map((PAGE.vocabulary || []).map((word, k) => [word, k]));

function read() {
  const { found, left } = split(byId("text").value);
  const kept = fed.length <= found.length && fed.every((token, k) => token === found[k]);
  if (!kept) restart();
  for (const token of found.slice(fed.length)) feed(token);
  const how = PAGE.unknown === null ? "left out" : `read as ${shown(PAGE.unknown)}`;
  byId("note").textContent = left.size ? `Not in the vocabulary, and ${how}: ${[...left].map(shown).join(" ")}` : "";
  draw();
}

function choose() {
  const last = past[past.length - 1], heat = Number(byId("heat").value);
  if (!last) return Math.floor(Math.random() * PAGE.vocabulary.length);
  const p = probabilities(last.y);
  const never = PAGE.unknown === null ? -1 : places.get(PAGE.unknown);
  if (heat === 0) return p.indexOf(Math.max(...p.filter((_, k) => k !== never)));
  const w = p.map((v, k) => (k === never ? 0 : v ** (1 / heat))), sum = w.reduce((a, b) => a + b, 0);
  let left = Math.random() * sum;
  return Math.max(0, w.findIndex((v) => (left -= v) < 0));
}

function write() {
  const token = choose(), box = byId("text");
  box.value += PAGE.vocabulary[token];
  feed(token);
  box.scrollTop = box.scrollHeight;
  draw();
}

// Numbers. What the reader sees is in his own units: mean + deviation * x.

function outside(x, k) { return PAGE.scales[k][0] + PAGE.scales[k][1] * x; }

function moved() {
  const x = new Float32Array(NETWORK.inputs), t = fed.length;
  for (let k = 0; k < Math.min(NETWORK.inputs, MOST_INPUTS); k++) {
    const slider = byId("input" + k);
    if (byId("sine" + k)?.checked) {
      const middle = (PAGE.low + PAGE.high) / 2, reach = (PAGE.high - PAGE.low) / 2;
      slider.value = middle + reach * Math.sin(2 * Math.PI * t / (24 * (k + 1)));
    }
    x[k] = Number(slider.value);
    const digits = 2 - Math.floor(Math.log10(PAGE.scales[k][1]));
    byId("value" + k).textContent = outside(x[k], k).toFixed(Math.min(20, Math.max(0, digits)));
  }
  return x;
}

function move() {
  feed(moved());
  draw();
}

// The page.

function stop() {
  if (timer !== null) clearInterval(timer);
  timer = null;
  byId("go").textContent = tokens ? "Write on" : "Run";
}

function go(act, pause) {
  if (timer !== null) { stop(); return; }
  timer = setInterval(act, pause);
  byId("go").textContent = "Stop";
}

function check() {
  const result = net.selftest(), line = byId("selftest");
  line.dataset.same = result.same ? "yes" : "no";
  line.className = result.same ? "well" : "ill";
  const numbers = `${result.differ} of ${result.of} numbers differ, by ${result.most} at most`;
  const damage = result.weights ? numbers : "the weights are damaged";
  byId("same").textContent = result.same ? "yes" : `no, ${damage}`;
  byId("arithmetic").textContent = net.arithmetic;
}

check();
if (tokens) {
  const box = byId("text");
  box.value = fragment.has("text") ? fragment.get("text") : PAGE.start;
  box.addEventListener("input", () => { stop(); read(); });
  if (PAGE.predicts) {
    byId("step").addEventListener("click", () => { stop(); write(); });
    byId("go").addEventListener("click", () => go(write, 80));
    byId("heat").addEventListener("input", () => { byId("heat-value").textContent = byId("heat").value; });
  }
  byId("reset").addEventListener("click", () => { stop(); box.value = ""; read(); });
  read();
} else {
  byId("step").addEventListener("click", () => { stop(); move(); });
  byId("go").addEventListener("click", () => go(move, 50));
  byId("reset").addEventListener("click", () => { stop(); restart(); draw(); });
  for (let k = 0; k < Math.min(NETWORK.inputs, MOST_INPUTS); k++) {
    byId("input" + k).addEventListener("input", () => {
      const sine = byId("sine" + k);
      if (sine) sine.checked = false;
      if (timer === null) move();
    });
  }
  if (fragment.has("x")) {
    for (const line of fragment.get("x").split(";")) feed(Float32Array.from(line.split(","), Number));
    draw();
  } else {
    for (let t = 1; t < SHOWN; t++) feed(moved());
    move();
  }
}
window.addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.body.dataset.ready = "yes";
"""
