// The page: drawing, preparing the drawing as MNIST does, and showing what the network computes.

const DATA = JSON.parse(document.getElementById("data").textContent);
const SIDE = 28, BOX = 20, PEN = 22; // pixels of the image and of its digit, and of the pen on the pad
const at = (id) => document.getElementById(id);
const networks = DATA.networks.map((each) => ({ ...each, program: ready(each.program) }));
const digits = unpacked(bytes(DATA.digits.base64), DATA.digits.labels.length);
const state = { network: networks[0], image: null, values: null, rows: [], digit: 0, drawn: false };

// Images are stored as bytes, a run of zeros as 0 and its length.
function unpacked(packed, count) {
  const pixels = new Uint8Array(count * SIDE * SIDE);
  let place = 0;
  for (let i = 0; i < packed.length; i++) packed[i] ? (pixels[place++] = packed[i]) : (place += packed[++i]);
  return Array.from({ length: count }, (_, i) => pixels.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE));
}

// Returns the image for a drawing, bytes of ink (side, side): cut to the ink's box, scaled so that the longer side
// is 20 pixels, and placed with its centre of mass in the middle of 28×28, as LeCun, Cortes and Burges describe it.
function prepared(ink, side) {
  let left = side, right = -1, top = side, bottom = -1;
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      if (ink[y * side + x]) {
        (left = Math.min(left, x)), (right = Math.max(right, x));
        (top = Math.min(top, y)), (bottom = Math.max(bottom, y));
      }
  const image = new Uint8Array(SIDE * SIDE);
  if (right < 0) return image;
  const width = right - left + 1, height = bottom - top + 1, scale = Math.max(width, height) / BOX;
  const columns = Math.max(1, Math.round(width / scale)), rows = Math.max(1, Math.round(height / scale));
  const small = new Float64Array(rows * columns);
  let mass = 0, massX = 0, massY = 0;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const middleX = width / columns, middleY = height / rows;
      const value = average(ink, side, left + column * middleX, top + row * middleY, middleX, middleY);
      small[row * columns + column] = value;
      (mass += value), (massX += value * (column + 0.5)), (massY += value * (row + 0.5));
    }
  const place = (centre, size) => clamp(Math.round((SIDE + 1) / 2 - centre), 0, SIDE - size); // as MNIST's means are
  const x = place(massX / mass, columns), y = place(massY / mass, rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      image[(y + row) * SIDE + x + column] = Math.round(small[row * columns + column]);
  return image;
}

// The mean of a rectangle of the ink, pixels at its edge counted by the part that lies inside.
function average(ink, side, left, top, width, height) {
  let sum = 0;
  for (let y = Math.floor(top); y < Math.min(side, top + height - 1e-9); y++)
    for (let x = Math.floor(left); x < Math.min(side, left + width - 1e-9); x++) {
      const inside = (start, from, size) => Math.min(start + 1, from + size) - Math.max(start, from);
      sum += ink[y * side + x] * inside(x, left, width) * inside(y, top, height);
    }
  return sum / (width * height);
}

// Draws one channel of a map, (row, column, channel); numbers below zero in blue.
function paint(canvas, map, [channels, height, width], channel, zero, most) {
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const share = (map[i * channels + channel] - zero) / most, dark = 255 * Math.min(Math.abs(share), 1);
    const below = [255 - dark * 0.8, 255 - dark * 0.55, 255], above = Array(3).fill(255 - dark);
    picture.data.set([...(share < 0 ? below : above), 255], i * 4);
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

const paintImage = (canvas, image) => paint(canvas, image, [1, SIDE, SIDE], 0, 0, 255);

function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

function element(name, parent, text = "", className = "") {
  return parent.appendChild(Object.assign(document.createElement(name), { textContent: text, className }));
}

function show(image, source) {
  state.image = image;
  paintImage(at("input"), image);
  at("source").textContent = source;
  [...at("digits").children].forEach((each, i) => each.setAttribute("aria-pressed", !state.drawn && i === state.digit));
  state.values = computed(state.network.program, image);
  const empty = !image.some(Boolean), scores = scoresOf(state.network.program, state.values), best = largestOf(scores);
  const powers = scores.map((each) => Math.exp((each - scores[best]) * state.network.step));
  const total = powers.reduce((a, b) => a + b);
  at("answer").innerHTML = empty ? "Draw a digit" : `The answer is <b>${state.network.classes[best]}</b>`;
  at("bars").querySelectorAll("li").forEach((row, i) => {
    const share = empty ? 0 : (100 * powers[i]) / total;
    row.className = !empty && i === best ? "best" : "";
    row.querySelector("i").style.width = `${share}%`;
    row.lastChild.textContent = empty ? "" : `${share.toFixed(1)} %`;
  });
  for (const row of state.rows) {
    paintImage(row.small, image);
    const map = state.values[row.value];
    const most = map.reduce((most, each, i) => Math.max(most, Math.abs(each - row.zeros[i % row.zeros.length])), 1);
    row.canvases.forEach((canvas, i) => paint(canvas, map, row.shape, i, row.zeros[i % row.zeros.length], most));
  }
}

const again = () => show(state.image, at("source").textContent);

// Marks a unit of a layer, and on the small digit the square that it sees.
function mark(row, y, x) {
  const [, height, width] = row.shape, rows = row.layer.rows[y], columns = row.layer.columns[x];
  const place = (target, ...values) =>
    ["--x", "--y", "--w", "--h"].forEach((name, i) => target.style.setProperty(name, values[i]));
  place(row.maps, x / width, y / height, 1 / width, 1 / height);
  const [[top, bottom], [left, right]] = rows && columns ? [rows, columns] : [[0, -1], [0, -1]]; // in the padding: none
  place(row.seen, left / SIDE, top / SIDE, (right - left + 1) / SIDE, (bottom - top + 1) / SIDE);
}

// Makes a row for each layer of the network: what a unit sees, and a canvas for each channel.
function makeRows() {
  at("layers").replaceChildren();
  const { program, layers } = state.network;
  state.rows = layers.map((layer, number) => {
    const shape = program.shapes[layer.value], [channels, height, width] = shape;
    const outer = element("div", at("layers"), "", "layer"), seen = element("div", outer, "", "seen");
    const title = element("h3", outer, `${number + 1}. ${layer.words}`), small = seen.appendChild(canvasOf(SIDE, SIDE));
    const longest = (intervals) => Math.max(...intervals.map((each) => (each ? each[1] - each[0] + 1 : 0)));
    const what = height * width > 1 ? "map" : "number", size = height * width > 1 ? ` of ${height}×${width}` : "";
    const maps = `${channels} ${what}${channels > 1 ? "s" : ""}${size}`;
    element("span", title, `${maps}, each unit sees ${longest(layer.rows)}×${longest(layer.columns)} pixels`);
    const row = { layer, value: layer.value, shape, zeros: [program.formats[layer.value].zero].flat(), small, seen };
    row.maps = element("div", outer, "", height * width > 1 ? "maps" : "maps numbers");
    row.canvases = Array.from({ length: channels }, () => {
      const canvas = element("div", row.maps).appendChild(canvasOf(width, height));
      const point = (event) => {
        const box = canvas.getBoundingClientRect();
        const unit = (place, size, count) => clamp(Math.floor((place / size) * count), 0, count - 1);
        mark(row, unit(event.clientY - box.top, box.height, height), unit(event.clientX - box.left, box.width, width));
      };
      canvas.onpointermove = canvas.onpointerdown = point;
      return canvas;
    });
    mark(row, height >> 1, width >> 1);
    return row;
  });
}

function choose(network) {
  state.network = network;
  at("parameters").textContent = network.parameters.toLocaleString("en");
  at("about").textContent = `${network.name}, from ${network.experiment}: ${network.accuracy.toFixed(2)} % of the ` +
    `${network.images.toLocaleString("en")} test images right. It knows images like these and no others.`;
  at("bars").replaceChildren();
  for (const each of network.classes) {
    const row = element("li", at("bars"));
    element("span", row, each);
    element("i", element("span", row, "", "track"));
    element("span", row);
  }
  makeRows();
  at("right").textContent = "";
  count(network, 0, 0);
}

// Tells one digit after another whether the network is right, so that the page stays usable.
function count(network, number, right) {
  if (network !== state.network) return;
  if (number === digits.length) {
    at("right").textContent = `The network is right for ${right} of ${number}; the others are underlined.`;
    return;
  }
  const correct = predicted(network, digits[number]) === DATA.digits.labels[number];
  at("digits").children[number].classList.toggle("wrong", !correct);
  setTimeout(() => count(network, number + 1, right + correct));
}

const predicted = (network, image) => largestOf(scoresOf(network.program, computed(network.program, image)));

function showDigit(number) {
  Object.assign(state, { digit: number, drawn: false });
  const picture = canvasOf(SIDE, SIDE), pad = at("pad").getContext("2d");
  paintImage(picture, digits[number]);
  pad.imageSmoothingEnabled = false;
  pad.clearRect(0, 0, 280, 280);
  pad.drawImage(picture, 0, 0, 280, 280);
  show(digits[number], `Test digit ${number + 1} of ${digits.length}, a ${DATA.digits.labels[number]}`);
}

// Lets a pointer draw on the pad.
function draws(canvas) {
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  let from = null, waiting = false;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * 280, ((event.clientY - box.top) / box.height) * 280];
  };
  const line = (to) => {
    Object.assign(pen, { lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    pen.beginPath(), pen.moveTo(...from), pen.lineTo(...to), pen.stroke();
    pen.beginPath(), pen.arc(...to, PEN / 2, 0, 7), pen.fill(); // a tap is a dot, not a line of no length
    from = to;
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => ((waiting = false), show(prepared(inkOf(pen), 280), "Your drawing")));
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (!state.drawn) pen.clearRect(0, 0, 280, 280);
    state.drawn = true;
    from = place(event);
    line(from);
  };
  canvas.onpointermove = (event) => {
    const events = event.getCoalescedEvents?.() ?? [];
    if (from) for (const each of events.length ? events : [event]) line(place(each));
  };
  canvas.onpointerup = canvas.onpointercancel = () => (from = null);
  at("clear").onclick = () => {
    pen.clearRect(0, 0, 280, 280);
    state.drawn = true;
    show(new Uint8Array(SIDE * SIDE), "");
  };
}

function inkOf(pen) {
  const { data } = pen.getImageData(0, 0, 280, 280);
  return Uint8Array.from({ length: 280 * 280 }, (_, i) => data[i * 4 + 3]);
}

// Writes what every network makes of every digit, and what the digits become when they are prepared once more.
function check() {
  const found = Object.fromEntries(networks.map(({ name, program }) => [
    name, digits.map((image) => scoresOf(program, computed(program, image))),
  ]));
  const pixel = (i) => Math.floor(i / 2800) * SIDE + Math.floor((i % 280) / 10);
  const large = (image) => Uint8Array.from({ length: 280 * 280 }, (_, i) => image[pixel(i)]);
  const redrawn = digits.map((image) => Array.from(prepared(large(image), 280)));
  document.documentElement.style.width = "390px"; // a telephone's, which not every browser's window can have
  const right = Math.max(...[...document.querySelectorAll("main *")].map((each) => each.getBoundingClientRect().right));
  document.documentElement.style.width = "";
  at("check").textContent = JSON.stringify({ scores: found, redrawn, right });
  at("check").hidden = false;
}

digits.forEach((image, number) => {
  const button = element("button", at("digits")), label = `Test digit ${number + 1}, a ${DATA.digits.labels[number]}`;
  Object.assign(button, { type: "button", title: label, ariaLabel: label, onclick: () => showDigit(number) });
  paintImage(button.appendChild(canvasOf(SIDE, SIDE)), image);
});
for (const { name, parameters } of networks)
  element("option", at("network"), `${name}, ${parameters.toLocaleString("en")} parameters`);
at("choice").hidden = networks.length < 2;
at("network").onchange = () => (choose(networks[at("network").selectedIndex]), again());
draws(at("pad"));
choose(networks[0]);
showDigit(0);
if (location.search === "?check") check();
