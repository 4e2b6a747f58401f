"use strict";

const SVG = "http://www.w3.org/2000/svg";
// Pixels around the plot, between its edges and the points, and what values without a logarithm take.
const MARGIN = { top: 12, right: 16, bottom: 52, left: 66 };
const PADDING = 16;
const BAND = 44;
const MARKER = 9.5;
const LARGEST = 26;
const SMALLEST = 7;
// Numbers of a record that are shown without a click, if it has them.
const MAIN = ["rate", "bytes_mean", "device_macs", "device_params", "encode_ms", "decode_ms"];

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const plot = byId("plot");
const tip = byId("tip");
const panel = byId("panel");
const hidden = { tasks: new Set(), methods: new Set(), curves: new Set() };
const keys = {
  tasks: (point) => `${point.record.task}, ${point.record.dataset}`,
  methods: (point) => point.record.method,
  curves: (point) => point.curve,
};
// The values at the corners of what is enlarged, or null for everything.
let zoom = null;
let opened = null;
let current = null;
let drawnPoints = [];

function element(name, attributes = {}, parent = null) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent?.append(node);
  return node;
}

function html(name, text = "", parent = null) {
  const node = document.createElement(name);
  node.textContent = text;
  parent?.append(node);
  return node;
}

function format(value) {
  if (value === undefined || value === null) return "-";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Number(value.toPrecision(5)).toLocaleString("en", { maximumFractionDigits: 6 });
}

// Labels of ticks: short, with a letter for thousands, millions and billions.
function short(value) {
  for (const [scale, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (Math.abs(value) >= scale) return `${Number((value / (letter === "k" ? 1e3 : scale)).toPrecision(6))} ${letter}`;
  }
  return String(Number(value.toPrecision(6)));
}

// ---- axes

function linearTicks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((candidate) => candidate >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) ticks.push(k * step);
  return ticks;
}

function logTicks(low, high, most) {
  let ticks = [];
  for (const digits of [[1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
    ticks = [];
    for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k += 1) {
      for (const digit of digits) ticks.push(digit * 10 ** k);
    }
    ticks = ticks.filter((tick) => tick >= low && tick <= high);
    if (ticks.length <= most) return ticks;
  }
  const step = Math.ceil(ticks.length / most);
  return ticks.filter((_, index) => index % step === 0);
}

// A scale from values to pixels and back. On a logarithmic one, values that are not positive stand in a band before its
// start. A range takes the place of what the values span.
function makeScale(values, range, logarithmic, start, end, most) {
  const positive = values.filter((value) => value > 0);
  const log = logarithmic && positive.length > 0;
  const toward = Math.sign(end - start);
  const banded = log && !range && positive.length < values.length;
  const from = start + toward * (banded ? BAND : PADDING);
  const to = end - toward * PADDING;
  const known = log ? positive : values;
  let [low, high] = range ?? [Math.min(...known), Math.max(...known)];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const map = log ? Math.log : (value) => value;
  const place = (value) => from + ((map(value) - map(low)) / (map(high) - map(low))) * (to - from);
  const value = (pixel) => {
    const mapped = map(low) + ((pixel - from) / (to - from)) * (map(high) - map(low));
    return log ? Math.exp(mapped) : mapped;
  };
  return {
    place: (number) => (log && number <= 0 ? start + (toward * BAND) / 2 : place(number)),
    value,
    ticks: log ? logTicks(low, high, most) : linearTicks(low, high, most),
    band: banded ? [start, start + toward * (BAND - 8)] : null,
    log,
  };
}

function drawAxis(layer, scale, name, vertical, box) {
  const field = data.fields[name];
  const better = { higher: vertical ? "\u2191 better" : "better \u2192", lower: vertical ? "\u2193 better" : "\u2190 better", "": "" };
  const title = `${field.label}${scale.log ? ", log scale" : ""}`;
  if (scale.band) {
    const [a, b] = [Math.min(...scale.band), Math.max(...scale.band)];
    const rectangle = vertical
      ? { x: box.left, width: box.right - box.left, y: a, height: b - a }
      : { y: box.top, height: box.bottom - box.top, x: a, width: b - a };
    element("rect", { class: "band", ...rectangle }, layer);
  }
  const ticks = scale.ticks.map((value) => [scale.place(value), short(value)]);
  if (scale.band) ticks.push([scale.place(0), "0"]);
  for (const [place, label] of ticks) {
    const line = vertical
      ? { x1: box.left, x2: box.right, y1: place, y2: place }
      : { x1: place, x2: place, y1: box.top, y2: box.bottom };
    element("line", { class: "grid", ...line }, layer);
    const where = vertical
      ? { x: box.left - 9, y: place + 4.5, "text-anchor": "end" }
      : { x: place, y: box.bottom + 21, "text-anchor": "middle" };
    element("text", { class: vertical ? "y-tick" : "x-tick", ...where }, layer).textContent = label;
  }
  const middle = vertical ? (box.top + box.bottom) / 2 : (box.left + box.right) / 2;
  const at = vertical
    ? { transform: `translate(15 ${middle}) rotate(-90)`, "text-anchor": "middle" }
    : { x: middle, y: box.bottom + 44, "text-anchor": "middle" };
  const text = element("text", { class: "title", ...at }, layer);
  text.textContent = title;
  if (field.better) element("tspan", { class: "better", dx: 14 }, text).textContent = better[field.better];
}

// ---- the figure

// The points that pass the filters and have both numbers, also those outside of what is enlarged.
function filtered() {
  const [x, y] = [byId("x").value, byId("y").value];
  return data.points.filter(
    (point) =>
      point.numbers[x] !== undefined &&
      point.numbers[y] !== undefined &&
      Object.entries(keys).every(([kind, key]) => !hidden[kind].has(key(point))),
  );
}

function enlarged(point) {
  return ["x", "y"].every((axis) => {
    const value = point.numbers[byId(axis).value];
    return zoom === null || (value >= zoom[axis][0] && value <= zoom[axis][1]);
  });
}

// Diameters of markers. As areas they grow with the number, in proportion where that leaves them readable.
function diameters(points, name) {
  if (!name) return () => MARKER;
  const positive = points.map((point) => point.numbers[name]).filter((value) => value > 0);
  const [low, high] = [Math.min(...positive), Math.max(...positive)];
  const power = high > low ? Math.min(0.5, Math.log(LARGEST / SMALLEST) / Math.log(high / low)) : 0.5;
  return (point) => {
    const value = point.numbers[name];
    return value > 0 ? LARGEST * (value / high) ** power : SMALLEST * 0.7;
  };
}

function draw() {
  const points = filtered();
  const shown = points.filter(enlarged);
  const of = shown.length < data.points.length ? ` of ${data.points.length}` : "";
  byId("count").textContent = `${shown.length}${of} points, ${new Set(shown.map(keys.curves)).size} curves`;
  plot.replaceChildren();
  drawnPoints = [];
  if (shown.length === 0) {
    const text = element("text", { x: MARGIN.left, y: MARGIN.top + 40 }, plot);
    text.textContent = "No record has both numbers and passes the filters.";
    return;
  }
  const { width, height } = plot.getBoundingClientRect();
  const box = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
  const [xName, yName] = [byId("x").value, byId("y").value];
  const column = (name) => points.map((point) => point.numbers[name]);
  const x = makeScale(column(xName), zoom?.x, byId("x-log").checked, box.left, box.right, Math.max(3, width / 85));
  const y = makeScale(column(yName), zoom?.y, byId("y-log").checked, box.bottom, box.top, Math.max(3, height / 55));
  const axes = element("g", { "aria-hidden": "true" }, plot);
  drawAxis(axes, x, xName, false, box);
  drawAxis(axes, y, yName, true, box);
  const frame = { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top };
  element("rect", frame, element("clipPath", { id: "inside" }, axes));
  const ground = element("rect", { class: "ground", ...frame }, axes);
  ground.addEventListener("pointerdown", (event) => startDrag(event, ground, x, y));
  element("path", { class: "axis", d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` }, axes);
  const diameter = diameters(points, byId("area").value);
  for (const [label, look] of Object.entries(data.curves)) {
    const own = points.filter((point) => point.curve === label);
    if (own.length) drawCurve(label, look, own, (p) => [x.place(p.numbers[xName]), y.place(p.numbers[yName])], diameter, box);
  }
  if (!drawnPoints.some(({ point }) => point === current)) current = drawnPoints[0].point;
  for (const { node, point } of drawnPoints) node.setAttribute("tabindex", point === current ? 0 : -1);
}

function drawCurve(label, look, points, place, diameter, box) {
  const group = element("g", { class: "curve", style: `--colour: ${look.colour}`, "data-curve": label }, plot);
  const clipped = { "clip-path": "url(#inside)" };
  const ordered = [...points].sort((a, b) => (a.numbers.bytes_mean ?? 0) - (b.numbers.bytes_mean ?? 0));
  const places = ordered.map(place);
  if (look.reference) {
    // A teacher's quality holds at any rate.
    if (byId("y").value in (ordered[0].record.quality ?? {})) {
      element("path", { class: "reference", ...clipped, d: `M${box.left} ${places[0][1]}H${box.right}` }, group);
    }
  } else {
    const d = `M${places.map((pair) => pair.join(" ")).join("L")}`;
    const dashes = look.dashes.map((dash) => 1.8 * dash).join(" ");
    element("path", { class: "line", ...clipped, d, "stroke-dasharray": dashes }, group);
  }
  ordered.forEach((point, index) => {
    if (!enlarged(point)) return;
    const size = diameter(point) * look.size;
    const [cx, cy] = places[index];
    const node = element(
      "path",
      {
        class: point === opened ? "point open" : "point",
        d: look.outline,
        transform: `translate(${cx} ${cy}) scale(${size})`,
        role: "button",
        "aria-label": [label, ...mainFields(point).map(([name, value]) => `${name} ${value}`)].join(", "),
      },
      group,
    );
    node.addEventListener("pointerenter", () => showTip(node, point));
    node.addEventListener("pointerleave", hideTip);
    node.addEventListener("focus", () => showTip(node, point));
    node.addEventListener("blur", hideTip);
    node.addEventListener("click", () => openPanel(node, point));
    drawnPoints.push({ node, point });
  });
}

// A rectangle drawn with the pointer becomes the whole figure.
function startDrag(down, ground, x, y) {
  if (down.button !== 0) return;
  down.preventDefault();
  ground.setPointerCapture(down.pointerId);
  const origin = plot.getBoundingClientRect();
  const corner = (event) => [event.clientX - origin.left, event.clientY - origin.top];
  const start = corner(down);
  const frame = element("rect", { class: "selection" }, plot);
  const resize = (event) => {
    const end = corner(event);
    ["x", "y"].forEach((name, k) => frame.setAttribute(name, Math.min(start[k], end[k])));
    ["width", "height"].forEach((name, k) => frame.setAttribute(name, Math.abs(start[k] - end[k])));
  };
  const finish = (event) => {
    frame.remove();
    const end = corner(event);
    if (event.type !== "pointerup" || start.some((value, k) => Math.abs(value - end[k]) < 8)) return;
    const range = (scale, k) => [scale.value(start[k]), scale.value(end[k])].sort((a, b) => a - b);
    setZoom({ x: range(x, 0), y: range(y, 1) });
  };
  ground.addEventListener("pointermove", resize);
  for (const name of ["pointerup", "pointercancel"]) ground.addEventListener(name, finish, { once: true });
}

function setZoom(ranges) {
  zoom = ranges;
  byId("whole").hidden = zoom === null;
  draw();
}

// ---- one point

function mainFields(point) {
  const axes = [byId("y").value, byId("x").value];
  const qualities = Object.keys(point.record.quality ?? {});
  const names = [...new Set(["rate", "bytes_mean", ...qualities, ...axes, ...MAIN])];
  return names
    .filter((name) => point.numbers[name] !== undefined)
    .map((name) => [
      name === "rate" ? point.record.rate_knob || "rate" : data.fields[name].short,
      format(point.numbers[name]),
    ]);
}

function showTip(node, point) {
  tip.replaceChildren();
  html("strong", point.curve, tip);
  const list = html("dl", "", tip);
  for (const [name, value] of mainFields(point)) {
    html("dt", name, list);
    html("dd", value, list);
  }
  tip.hidden = false;
  const mark = node.getBoundingClientRect();
  const size = tip.getBoundingClientRect();
  const beside = mark.right + 12 + size.width < window.innerWidth ? mark.right + 12 : mark.left - 12 - size.width;
  const level = mark.top + mark.height / 2 - size.height / 2;
  tip.style.left = `${Math.max(8, beside)}px`;
  tip.style.top = `${Math.min(Math.max(8, level), window.innerHeight - size.height - 8)}px`;
}

function hideTip() {
  tip.hidden = true;
}

function openPanel(node, point) {
  hideTip();
  setCurrent(point);
  document.querySelector(".point.open")?.classList.remove("open");
  node.classList.add("open");
  opened = point;
  const knob = point.record.rate_knob ? `, ${point.record.rate_knob} ${format(point.record.rate)}` : "";
  byId("panel-title").textContent = `${point.curve}${knob}`;
  byId("json").textContent = JSON.stringify(point.record, null, 2);
  byId("json").scrollTop = 0;
  panel.hidden = false;
  byId("close").focus();
}

function closePanel() {
  panel.hidden = true;
  const entry = drawnPoints.find(({ point }) => point === opened);
  entry?.node.classList.remove("open");
  entry?.node.focus();
  opened = null;
}

function setCurrent(point) {
  for (const entry of drawnPoints) entry.node.setAttribute("tabindex", entry.point === point ? 0 : -1);
  current = point;
}

// Left and right along a curve, up and down to the next one.
function move(key) {
  const index = drawnPoints.findIndex(({ point }) => point === current);
  const labels = [...new Set(drawnPoints.map(({ point }) => point.curve))];
  const count = labels.length;
  const curve = labels.indexOf(current.curve);
  const first = (label) => drawnPoints.findIndex(({ point }) => point.curve === label);
  const next = {
    ArrowRight: (index + 1) % drawnPoints.length,
    ArrowLeft: (index - 1 + drawnPoints.length) % drawnPoints.length,
    ArrowDown: first(labels[(curve + 1) % count]),
    ArrowUp: first(labels[(curve - 1 + count) % count]),
  }[key];
  if (next === undefined) return false;
  setCurrent(drawnPoints[next].point);
  drawnPoints[next].node.focus();
  return true;
}

// ---- controls

function fillSelect(select, chosen, names) {
  for (const name of names) {
    const option = html("option", name ? data.fields[name].label : "none", select);
    option.value = name;
    option.selected = name === chosen;
  }
}

function addFilters(kind) {
  const counts = new Map();
  for (const point of data.points) counts.set(keys[kind](point), (counts.get(keys[kind](point)) ?? 0) + 1);
  for (const [name, count] of counts) {
    const label = html("label", "", byId(kind));
    const box = html("input", "", label);
    Object.assign(box, { type: "checkbox", checked: true, value: name });
    if (kind === "curves") label.append(sample(data.curves[name]));
    html("span", name, label);
    html("span", String(count), label).className = "number";
    box.addEventListener("change", () => {
      hidden[kind][box.checked ? "delete" : "add"](name);
      draw();
    });
    if (kind === "curves") {
      label.addEventListener("pointerenter", () => fade(name));
      label.addEventListener("pointerleave", () => fade(null));
    }
  }
  // A choice among one is none.
  byId(kind).hidden = counts.size < 2;
}

function sample(look) {
  const svg = element("svg", { class: "curve", style: `--colour: ${look.colour}`, viewBox: "0 0 34 14", "aria-hidden": "true" });
  const dashes = look.reference ? "9 4" : look.dashes.map((dash) => 1.8 * dash).join(" ");
  element("path", { class: "line", d: "M0 7H34", "stroke-dasharray": dashes }, svg);
  element("path", { class: "point", d: look.outline, transform: `translate(17 7) scale(${MARKER * look.size})` }, svg);
  return svg;
}

function fade(label) {
  for (const group of plot.querySelectorAll(".curve")) {
    group.classList.toggle("faded", label !== null && group.dataset.curve !== label);
  }
}

const names = Object.keys(data.fields);
fillSelect(byId("x"), data.x, names);
fillSelect(byId("y"), data.y, names);
fillSelect(byId("area"), "", ["", ...data.costs, ...names.filter((name) => !data.costs.includes(name))]);
byId("x-log").checked = true;
// Other axes have other ranges.
for (const id of ["x", "y", "x-log", "y-log"]) byId(id).addEventListener("change", () => setZoom(null));
byId("area").addEventListener("change", draw);
byId("whole").addEventListener("click", () => setZoom(null));
for (const kind of Object.keys(keys)) addFilters(kind);
byId("close").addEventListener("click", closePanel);
plot.addEventListener("keydown", (event) => {
  if (move(event.key)) event.preventDefault();
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    const entry = drawnPoints.find(({ node }) => node === document.activeElement);
    if (entry) openPanel(entry.node, entry.point);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !panel.hidden) closePanel();
});
new ResizeObserver(draw).observe(plot);
draw();
