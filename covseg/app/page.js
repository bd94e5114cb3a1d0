// The page of `python -m covseg app`. What is infected follows from the probabilities that it holds, so that the threshold
// acts at once; the numbers come from the server, which computes them as `predict` does.

const get = (id) => document.getElementById(id);
const PARTS = ["percent", "right", "left", "right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower"];
const COLORS = {infection: [230, 159, 0], lungs: [86, 180, 233], truth: [204, 121, 167]};
// Viridis at equal steps, from 0 to 1.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
  [170, 220, 50], [253, 231, 37]];
const films = new Map();
let session, shown, asking = false, again = false, newest = 0, lots = Promise.resolve(), numLots = 0, stopped = 0;

const threshold = () => get("threshold").value;

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The program that serves this page does not answer; is it still running?");
  }
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({problem: `The answer cannot be read (${answer.status}).`}));
  if (!answer.ok) throw new Error(body.problem);
  return body;
}

function problem(text) {
  if ([...get("problems").children].some((line) => line.textContent === text)) return;
  const line = document.createElement("li");
  line.textContent = text;
  get("problems").append(line);
}

// Films, one after the other, and one lot after the other.

function add(items) {
  const lot = stopped, model = get("model").value;
  if (!numLots++) get("problems").replaceChildren();
  lots = lots.then(() => addLot(items, lot, model)).finally(() => numLots--);
}

async function addLot(items, lot, model) {
  if (lot !== stopped) return;  // All films were removed.
  const bar = get("progress"), began = performance.now();
  [bar.hidden, bar.value, bar.max] = [false, 0, items.length];
  let done = 0;
  for (const [i, item] of items.entries()) {
    get("status").textContent = `Film ${i + 1} of ${items.length}: ${item.name}`;
    try {
      await item.file?.slice(0, 1).arrayBuffer().catch(() => { throw new Error(`${item.name} is a folder, or cannot be read.`); });
      const query = new URLSearchParams({model, name: item.name, threshold: threshold()});
      const film = await ask(`${session}/${item.path}?${query}`, {method: "POST", body: item.file});
      if (lot !== stopped) {
        await ask(`${session}/films/${film.id}`, {method: "DELETE"});
        break;
      }
      films.set(film.id, film);
      addToGallery(film);
      if (film.threshold !== Number(threshold())) await askValues(film);  // The slider has moved since.
      if (lot === stopped && ++done === 1) await show(film.id);
    } catch (error) {
      if (lot === stopped) problem(error.message);
    }
    if (lot !== stopped) break;
    bar.value = i + 1;
  }
  bar.hidden = true;
  if (lot !== stopped) return;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  get("status").textContent = `${done} of ${items.length} ${items.length === 1 ? "film" : "films"} done in ${seconds} s`;
}

function addToGallery(film) {
  get("all").hidden = false;
  const [item, button, picture, text] = ["li", "button", "img", "span"].map((tag) => document.createElement(tag));
  button.type = "button";
  button.dataset.film = film.id;
  button.onclick = () => show(film.id);
  picture.src = `${session}/films/${film.id}/film.png?small`;
  picture.alt = "";
  picture.loading = "lazy";
  button.append(picture, text);
  item.append(button);
  get("gallery").append(item);
  const row = get("table").tBodies[0].insertRow();
  row.dataset.film = film.id;
  for (let i = 0; i < 7; i++) row.insertCell();
  describe(film);
}

const percent = (value, digits = 0) => value == null ? "–" : value.toFixed(digits);
const infected = ({severity, infected_percent_of_film: ofFilm}) => severity?.percent == null ?
  `${percent(ofFilm)} % of the film infected` : `${percent(severity.percent)} % of the lungs infected`;

function describe(film) {
  const row = document.querySelector(`#table tr[data-film="${film.id}"]`);
  if (!row) return;  // It has been removed.
  const {percent: both, right, left} = film.severity ?? {};
  const warned = film.warnings.length ? " ⚠ warning" : "";
  const button = document.querySelector(`#gallery [data-film="${film.id}"]`);
  button.lastChild.textContent = `${film.name}: ${infected(film)}${warned}`;
  const texts = [film.name, percent(both, 1), percent(right, 1), percent(left, 1), percent(film.involvement, 2), film.model,
    film.warnings.join("; ")];
  texts.forEach((text, i) => { row.cells[i].textContent = text; });
}

// One film.

async function show(id) {
  const film = films.get(id), request = ++newest;
  const picture = async (name) => {
    const image = new Image();
    image.src = `${session}/films/${id}/${name}.png`;
    await image.decode();
    return pixels(image);
  };
  let pictures;
  try {
    pictures = await Promise.all([picture("film"), picture("probability"), film.has_lungs ? picture("lungs") : null,
      film.has_truth ? picture("truth") : null]);
  } catch {
    if (request === newest) problem(`${film.name} cannot be shown: its pictures did not arrive.`);
    return;
  }
  if (request !== newest) return;
  shown = {film, pictures};
  for (const button of document.querySelectorAll("#gallery button")) {
    button.setAttribute("aria-current", button.dataset.film === id);
  }
  get("show-truth").disabled = !film.has_truth;
  get("show-lungs").disabled = !film.has_lungs;
  write(film);
  draw();
  await update();
}

function pixels(image) {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d", {willReadFrequently: true, colorSpace: "srgb"});
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function write(film) {
  get("name").textContent = film.name;
  const warnings = film.warnings.map((warning) => `Warning: ${warning}`);
  if (warnings.join() !== [...get("warnings").children].map((line) => line.textContent).join()) {
    get("warnings").replaceChildren(...warnings.map((text) => {
      const line = document.createElement("li");
      line.textContent = text;
      return line;
    }));
  }
  for (const part of PARTS) get(part).textContent = film.severity?.[part] == null ? "–" : `${percent(film.severity[part], 1)} %`;
  get("involvement").textContent = percent(film.involvement, 2);
  get("of-film").textContent = `${percent(film.infected_percent_of_film, 1)} %`;
  get("canvas").setAttribute("aria-label", `${film.name}: ${infected(film)}, at threshold ${get("threshold-value").value}`);
}

function draw() {
  if (!shown) return;
  const [film, probability, lungs, truth] = shown.pictures;
  const {width, height} = film;
  const canvas = get("canvas");
  if (canvas.width !== width || canvas.height !== height) {
    [canvas.width, canvas.height] = [width, height];
    canvas.style.aspectRatio = `${width} / ${height}`;
  }
  const out = new ImageData(new Uint8ClampedArray(film.data), width, height);
  const value = (i) => (256 * probability.data[i] + probability.data[i + 1]) / 65535;
  const bound = Number(threshold());
  get("scale").hidden = !get("show-probability").checked;
  if (get("show-probability").checked) {
    for (let i = 0; i < out.data.length; i += 4) {
      const p = value(i), opacity = Math.min(1, 4 * p) * 0.65, color = viridis(p);
      for (let c = 0; c < 3; c++) out.data[i + c] = opacity * color[c] + (1 - opacity) * out.data[i + c];
    }
  }
  const outlines = {
    lungs: lungs && ((i) => lungs.data[i] > 127),
    truth: truth && ((i) => truth.data[i] > 127),
    infection: (i) => value(i) > bound,
  };
  for (const [name, inside] of Object.entries(outlines)) {
    if (inside && get(`show-${name}`).checked) outline(out, inside, COLORS[name]);
  }
  canvas.getContext("2d").putImageData(out, 0, 0);
}

function outline(out, inside, color) {
  const {width, height} = out;
  const mask = new Uint8Array(width * height);
  for (let i = 0; i < mask.length; i++) mask[i] = inside(4 * i);
  const reach = Math.max(1, Math.round(Math.max(width, height) / 500));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      if (!mask[i]) continue;
      const [l, r] = [Math.max(0, x - reach), Math.min(width - 1, x + reach)];
      const [t, b] = [Math.max(0, y - reach), Math.min(height - 1, y + reach)];
      if (mask[y * width + l] && mask[y * width + r] && mask[t * width + x] && mask[b * width + x]) continue;
      for (let c = 0; c < 3; c++) out.data[4 * i + c] = color[c];
    }
  }
}

function viridis(p) {
  const at = p * (VIRIDIS.length - 1), low = Math.min(Math.floor(at), VIRIDIS.length - 2), part = at - low;
  return VIRIDIS[low].map((c, i) => c + part * (VIRIDIS[low + 1][i] - c));
}

// The threshold: the outlines at once, the numbers as soon as the server has them.

async function askValues(film) {
  const values = await ask(`${session}/films/${film.id}/values?threshold=${threshold()}`);
  if (values.threshold === Number(threshold())) Object.assign(film, values);  // Else a later answer is on its way.
  describe(film);
}

async function update() {
  again = true;
  if (asking) return;
  asking = true;
  let film;
  try {
    while (again && shown) {
      again = false;
      film = shown.film;
      await askValues(film);
      if (shown?.film === film) write(film);
    }
  } catch (error) {
    if (films.has(film?.id)) problem(error.message);  // Else it has been removed.
  } finally {
    asking = false;
  }
}

function slide() {
  get("threshold-value").value = Number(threshold()).toFixed(3).replace(/0$/, "");
  get("save").href = `${session}/results.zip?threshold=${threshold()}`;
  draw();
  update();
}

get("threshold").oninput = slide;
// All films' numbers, once the slider rests.
get("threshold").onchange = async () => {
  const rested = threshold();
  for (const film of films.values()) {
    if (threshold() !== rested) return;
    await askValues(film).catch((error) => films.has(film.id) && problem(error.message));
  }
};
for (const box of document.querySelectorAll("fieldset input")) box.onchange = draw;

// Giving films.

const fromFiles = (files) => add([...files].map((file) => ({name: file.name, path: "films", file})));
get("files").onchange = (event) => {
  fromFiles(event.target.files);
  event.target.value = "";
};
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); get("drop").classList.add("over"); });
}
document.addEventListener("dragleave", (event) => event.relatedTarget || get("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  get("drop").classList.remove("over");
  if (event.dataTransfer.files.length) fromFiles(event.dataTransfer.files);
});
get("try").onclick = () => {
  const choice = get("example");
  add([{name: choice.selectedOptions[0].textContent, path: `examples/${choice.value}`}]);
};
get("save").onclick = () => { get("status").textContent = "The results are put together, then the download begins"; };
get("clear").onclick = async () => {
  [shown, newest, stopped] = [undefined, newest + 1, stopped + 1];
  get("all").hidden = true;  // None is shown again before it is removed.
  get("warnings").replaceChildren();
  for (const id of [...PARTS, "involvement", "of-film"]) get(id).textContent = "–";
  get("name").textContent = "No film yet";
  get("canvas").setAttribute("aria-label", "No film yet");
  get("canvas").getContext("2d").clearRect(0, 0, get("canvas").width, get("canvas").height);
  try {
    for (const id of [...films.keys()]) {
      await ask(`${session}/films/${id}`, {method: "DELETE"});
      films.delete(id);
      for (const element of document.querySelectorAll(`[data-film="${id}"]`)) (element.closest("li") ?? element).remove();
    }
    get("status").textContent = "All films are removed";
  } catch (error) {
    problem(error.message);
  }
  get("all").hidden = !films.size;
  if (!films.size) get("files").focus();  // The button that had it is hidden.
};
addEventListener("beforeunload", (event) => (films.size || numLots) && event.preventDefault());
// A page that is left cannot be returned to, and nor can its films.
addEventListener("pagehide", (event) => event.persisted || fetch(session, {method: "DELETE", keepalive: true}));

const options = (id, names, values = names) => get(id).replaceChildren(...names.map((name, i) => new Option(name, values[i])));
const colors = get("colors").getContext("2d");
for (let x = 0; x < 256; x++) {
  colors.fillStyle = `rgb(${viridis(x / 255).join(" ")})`;
  colors.fillRect(x, 0, 1, 1);
}
try {
  const begun = await ask("sessions", {method: "POST"});
  ({session} = begun);
  get("threshold").value = begun.threshold;
  options("model", begun.models);
  options("example", begun.examples, begun.examples.map((_, i) => i));
  slide();
  document.querySelector("main").inert = false;
} catch (error) {
  problem(error.message);
}
