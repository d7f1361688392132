// ---- Cells: how much of each group of tokens is attended to in each group of steps ------------------------------

function chosenPairs() {
  const layer = +$("layer").value, head = +$("head").value, some = trace.sparse.some(x => x);
  const chosen = new Uint8Array(trace.pairs);
  for (let pair = 0; pair < trace.pairs; pair++) {
    const of = Math.floor(pair / trace.heads);
    const shown = layer >= 0 ? of === layer : trace.sparse[of] || !some;
    chosen[pair] = shown && (head < 0 || pair % trace.heads === head) ? 1 : 0;
  }
  return chosen;
}

// The part of the map that is seen, in steps and tokens, and how it is cut into cells.
const view = {};
function seeWhole() {
  Object.assign(view, { x0: 0, x1: trace.steps, y0: 0, y1: Math.ceil(trace.ids.n / PAGE) * PAGE });
}

function cutCells(width, height) {
  const steps = Math.max(1, Math.ceil((view.x1 - view.x0) / width));
  const tokenPixels = height / (view.y1 - view.y0);
  const tokens = tokenPixels >= 3 ? 1 : PAGE * Math.max(1, Math.ceil(1 / (PAGE * tokenPixels)));
  const firstColumn = Math.floor(view.x0 / steps), firstRow = Math.floor(view.y0 / tokens);
  return {
    steps, tokens, firstColumn, firstRow,
    columns: Math.ceil(Math.min(view.x1, trace.steps) / steps) - firstColumn,
    rows: Math.ceil(Math.min(view.y1, trace.ids.n) / tokens) - firstRow,
  };
}

// Of each cell: parts that existed, and those attended to; parts are tokens, or pages of heads.
function countCells(cut, chosen, byHeads) {
  const whole = new Float64Array(cut.columns * cut.rows), part = new Float64Array(cut.columns * cut.rows);
  const unit = byHeads ? Math.min(cut.tokens, PAGE) : 1;
  const nChosen = chosen.reduce((sum, x) => sum + x, 0);
  const begin = cut.firstRow * cut.tokens, end = (cut.firstRow + cut.rows) * cut.tokens;
  const last = Math.min(trace.steps, (cut.firstColumn + cut.columns) * cut.steps);
  for (let step = cut.firstColumn * cut.steps; step < last; step++) {
    const column = Math.floor(step / cut.steps) - cut.firstColumn;
    const cached = trace.cached.items[step];
    for (let row = 0; row < cut.rows; row++) {
      const tokens = Math.min(cut.tokens, cached - begin - row * cut.tokens);
      if (tokens <= 0) break;
      whole[row * cut.columns + column] += nChosen * Math.ceil(tokens / unit);
    }
    for (const [edges, weight] of trace.weighted(step, chosen))
      countSet(edges, weight, cut, unit, begin, end, column, part);
  }
  return { whole, part };
}

function countSet(edges, weight, cut, unit, begin, end, column, part) {
  let lastUnit = -1;
  for (let i = 0; i < edges.length; i += 2) {
    const stop = Math.min(edges[i + 1], end);
    for (let token = Math.max(edges[i], begin); token < stop;) {
      const row = Math.floor(token / cut.tokens);
      if (unit === 1) {
        const next = Math.min(stop, (row + 1) * cut.tokens);
        part[(row - cut.firstRow) * cut.columns + column] += weight * (next - token);
        token = next;
      } else {
        const at = Math.floor(token / unit);
        if (at !== lastUnit) part[(row - cut.firstRow) * cut.columns + column] += weight;
        lastUnit = at;
        token = (at + 1) * unit;
      }
    }
  }
}

function shadeOf(part, whole) {
  if (part >= whole) return SHADES.length - 1;
  let shade = 0;
  while (shade < SHADES.length - 2 && part * 2 ** (4 - shade) > whole) shade++;
  return shade;
}

// ---- Drawing ----------------------------------------------------------------------------------------------------

const MARGIN = { left: 66, right: 46, top: 8, bottom: 46 };
const plot = { width: 0, height: 0 };
const COLOURS = SHADES.map(shade => [1, 3, 5].map(i => parseInt(shade.slice(i, i + 2), 16)));

function cellImage(cut) {
  const { whole, part } = countCells(cut, chosenPairs(), $("shade").value === "heads");
  const image = new ImageData(cut.columns, cut.rows);
  for (let i = 0; i < whole.length; i++) {
    const colour = whole[i] === 0 ? [238, 238, 238] : part[i] === 0 ? [255, 255, 255]
                                                                    : COLOURS[shadeOf(part[i], whole[i])];
    image.data.set(colour, 4 * i);
    image.data[4 * i + 3] = 255;
  }
  const canvas = document.createElement("canvas");
  canvas.width = cut.columns;
  canvas.height = cut.rows;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

const toX = step => MARGIN.left + (step - view.x0) / (view.x1 - view.x0) * plot.width;
const toY = token => MARGIN.top + (token - view.y0) / (view.y1 - view.y0) * plot.height;
const fromX = x => view.x0 + (x - MARGIN.left) / plot.width * (view.x1 - view.x0);
const fromY = y => view.y0 + (y - MARGIN.top) / plot.height * (view.y1 - view.y0);
const grouped = number => Math.round(number).toLocaleString("en-US");

function sized(canvas) { // a context in CSS pixels, sharp on any screen
  const ratio = window.devicePixelRatio || 1;
  const width = plot.width + MARGIN.left + MARGIN.right, height = plot.height + MARGIN.top + MARGIN.bottom;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

// 1, 2 or 5 times a power of ten, so that about `wanted` fit.
function tickDistance(span, wanted) {
  let distance = 1;
  for (let i = 0; distance * wanted < span; i++) distance = i % 3 === 1 ? distance / 2 * 5 : 2 * distance;
  return distance;
}

function drawAxes(context) {
  const bottom = MARGIN.top + plot.height, right = MARGIN.left + plot.width;
  context.strokeStyle = context.fillStyle = "#222";
  context.strokeRect(MARGIN.left, MARGIN.top, plot.width, plot.height);
  context.font = "12px Helvetica, Arial, sans-serif";
  context.textAlign = "center";
  const steps = tickDistance((view.x1 - view.x0) * trace.every, plot.width / 90);
  for (let step = Math.ceil(view.x0 * trace.every / steps) * steps; step < view.x1 * trace.every; step += steps) {
    const x = toX(step / trace.every);
    context.fillRect(x, bottom, 1, 5);
    context.fillText(grouped(step), x, bottom + 18);
  }
  context.fillText("decode step", MARGIN.left + plot.width / 2, bottom + 38);
  context.textAlign = "right";
  const pages = tickDistance((view.y1 - view.y0) / PAGE, plot.height / 45);
  for (let page = Math.ceil(view.y0 / PAGE / pages) * pages; page * PAGE < view.y1; page += pages) {
    const y = toY(page * PAGE);
    context.fillRect(MARGIN.left - 5, y, 5, 1);
    context.fillText(grouped(page), MARGIN.left - 8, y + 4);
  }
  drawUpright(context, "page of the context, 16 tokens each", 14, MARGIN.top + plot.height / 2, -Math.PI / 2);
  const border = Math.min(bottom, Math.max(MARGIN.top, toY(trace.prompt)));
  if (border - MARGIN.top > 50)
    drawUpright(context, "prompt", right + 16, (border + MARGIN.top) / 2, Math.PI / 2);
  if (bottom - border > 70)
    drawUpright(context, "generated", right + 16, (border + bottom) / 2, Math.PI / 2);
  if (border === MARGIN.top || border === bottom) return;
  context.setLineDash([6, 3]);
  context.strokeStyle = "#d7301f";
  context.beginPath();
  context.moveTo(MARGIN.left, border);
  context.lineTo(right + 8, border);
  context.stroke();
  context.setLineDash([]);
}

function drawUpright(context, text, x, y, angle) {
  context.save();
  context.translate(x, y);
  context.rotate(angle);
  context.textAlign = "center";
  context.fillText(text, 0, 0);
  context.restore();
}

function draw() {
  plot.width = Math.max(300, document.documentElement.clientWidth - 40 - MARGIN.left - MARGIN.right);
  plot.height = Math.max(240, Math.min(680, window.innerHeight - 330));
  const ratio = window.devicePixelRatio || 1;
  const context = sized($("map"));
  context.fillStyle = "#eee";
  context.fillRect(MARGIN.left, MARGIN.top, plot.width, plot.height);
  const cut = cutCells(Math.round(plot.width * ratio), Math.round(plot.height * ratio));
  if (cut.columns > 0 && cut.rows > 0) {
    const x = toX(cut.firstColumn * cut.steps), y = toY(cut.firstRow * cut.tokens);
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, MARGIN.top, plot.width, plot.height);
    context.clip();
    context.imageSmoothingEnabled = false;
    context.drawImage(cellImage(cut), x, y, toX((cut.firstColumn + cut.columns) * cut.steps) - x,
                      toY((cut.firstRow + cut.rows) * cut.tokens) - y);
    context.restore();
  }
  drawAxes(context);
  show();
}

let waiting = false;
function drawSoon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}
