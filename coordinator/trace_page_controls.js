// ---- What the pointer is at -------------------------------------------------------------------------------------

const VISIBLE = { "\n": "↵\n", "\t": "⇥\t" };

function pageSpans(step, page, chosen) { // its tokens, each with how many of the chosen heads attend to it
  const begin = page * PAGE, end = Math.min(begin + PAGE, trace.cached.items[step]);
  const counts = new Float64Array(PAGE), nChosen = chosen.reduce((sum, x) => sum + x, 0);
  for (const [edges, weight] of trace.weighted(step, chosen))
    for (let i = 0; i < edges.length; i += 2)
      for (let token = Math.max(edges[i], begin); token < Math.min(edges[i + 1], end); token++)
        counts[token - begin] += weight;
  const decoder = new TextDecoder(), spans = [];
  for (let token = begin; token < end; token++) {
    const span = document.createElement("span");
    const text = decoder.decode(trace.textBytes(token), { stream: token + 1 < end });
    span.textContent = text.replace(/[\n\t]/g, c => VISIBLE[c]) || " ";
    span.title = `token ${grouped(token)}, id ${trace.ids.items[token]}: ` +
                 `${Math.round(100 * counts[token - begin] / nChosen)} % of the heads`;
    if (counts[token - begin] > 0) {
      const shade = shadeOf(counts[token - begin], nChosen);
      span.style.background = SHADES[shade];
      if (shade > 2) span.style.color = "#fff";
    }
    spans.push(span);
  }
  return { spans, share: counts.reduce((sum, x) => sum + x, 0) / nChosen, n: end - begin };
}

let pointer = null; // where it was last
function show() {
  const context = sized($("marks"));
  if (!pointer) return;
  const { x, y } = pointer;
  const step = Math.floor(fromX(x)), token = Math.floor(fromY(y));
  const inside = x >= MARGIN.left && x < MARGIN.left + plot.width && y >= MARGIN.top && y < MARGIN.top + plot.height;
  if (!inside || step < 0 || step >= trace.steps || token < 0) return;
  const page = Math.floor(token / PAGE), cached = trace.cached.items[step];
  const newest = new TextDecoder().decode(trace.textBytes(cached - 1));
  let where = `step ${grouped(step * trace.every)}, reading token ${grouped(cached - 1)} ${JSON.stringify(newest)}`;
  $("page").replaceChildren();
  if (page * PAGE < cached) {
    const { spans, share, n } = pageSpans(step, page, chosenPairs());
    const origin = page * PAGE + n <= trace.prompt ? "prompt" : page * PAGE < trace.prompt ? "prompt and answer"
                                                                                            : "answer";
    where += ` · page ${grouped(page)} (tokens ${grouped(page * PAGE)} to ${grouped(page * PAGE + n - 1)}, ` +
             `${origin}): ${share.toFixed(1)} of ${n} tokens attended to`;
    $("page").replaceChildren(...spans);
  }
  $("where").textContent = where;
  context.strokeStyle = "rgba(215, 48, 31, 0.8)";
  context.strokeRect(MARGIN.left, toY(page * PAGE), plot.width, toY((page + 1) * PAGE) - toY(page * PAGE));
  context.strokeRect(toX(step), MARGIN.top, Math.max(1, toX(step + 1) - toX(step)), plot.height);
}

// ---- Moving about -----------------------------------------------------------------------------------------------

function zoomAxis(low, high, around, factor, least, limit) {
  const span = Math.min(limit, Math.max(least, (view[high] - view[low]) * factor));
  const share = (around - view[low]) / (view[high] - view[low]);
  view[low] = Math.min(limit - span, Math.max(0, around - share * span));
  view[high] = view[low] + span;
}

function zoom(factor, x, y, steps = true, pages = true) {
  const height = Math.ceil(trace.ids.n / PAGE) * PAGE;
  if (steps) zoomAxis("x0", "x1", fromX(x), factor, Math.min(8, trace.steps), trace.steps);
  if (pages) zoomAxis("y0", "y1", fromY(y), factor, Math.min(2 * PAGE, height), height);
  drawSoon();
}

function move(dx, dy) {
  const height = Math.ceil(trace.ids.n / PAGE) * PAGE;
  const x = Math.min(trace.steps - view.x1, Math.max(-view.x0, -dx / plot.width * (view.x1 - view.x0)));
  const y = Math.min(height - view.y1, Math.max(-view.y0, -dy / plot.height * (view.y1 - view.y0)));
  view.x0 += x;
  view.x1 += x;
  view.y0 += y;
  view.y1 += y;
  drawSoon();
}

function listen() {
  const marks = $("marks");
  let dragged = null;
  marks.addEventListener("pointerdown", event => {
    dragged = event;
    marks.setPointerCapture(event.pointerId);
  });
  marks.addEventListener("pointerup", () => { dragged = null; });
  marks.addEventListener("pointermove", event => {
    if (dragged) {
      move(event.offsetX - dragged.offsetX, event.offsetY - dragged.offsetY);
      dragged = event;
    }
    pointer = { x: event.offsetX, y: event.offsetY };
    if (!dragged) show();
  });
  marks.addEventListener("wheel", event => {
    event.preventDefault();
    const turned = event.deltaY || event.deltaX; // Shift turns one into the other
    zoom(1.002 ** turned, event.offsetX, event.offsetY, !event.altKey, !event.shiftKey);
  }, { passive: false });
  const whole = () => { seeWhole(); drawSoon(); };
  const centre = factor => zoom(factor, MARGIN.left + plot.width / 2, MARGIN.top + plot.height / 2);
  marks.addEventListener("dblclick", whole);
  $("whole").addEventListener("click", whole);
  $("nearer").addEventListener("click", () => centre(0.5));
  $("farther").addEventListener("click", () => centre(2));
  for (const id of ["layer", "head", "shade"]) $(id).addEventListener("change", drawSoon);
  window.addEventListener("resize", drawSoon);
}

// ---- The words around -------------------------------------------------------------------------------------------

function addOption(select, value, text) {
  const option = document.createElement("option");
  option.value = value;
  option.textContent = text;
  $(select).append(option);
}

function fillControls() {
  const some = trace.sparse.some(x => x), every = trace.sparse.every(x => x);
  addOption("layer", -1, some && !every ? "all that select" : "all");
  for (let layer = 0; layer < trace.layers; layer++)
    addOption("layer", layer, layer + (trace.sparse[layer] ? "" : " (attends to everything)"));
  addOption("head", -1, "all");
  for (let head = 0; head < trace.heads; head++) addOption("head", head, head);
  $("layer").value = $("trace").dataset.layer;
  $("head").value = $("trace").dataset.head;
}

function fillLegend() {
  const swatch = (colour, text) => {
    const item = document.createElement("span"), box = document.createElement("i");
    box.style.background = colour;
    item.append(box, text);
    $("legend").append(item);
  };
  SHADES.forEach((colour, i) => swatch(colour, SHADE_NAMES[i]));
  swatch("#fff", "none");
  swatch("#eee", "not yet there");
}

function fillWords() {
  const options = trace.options.map(([name, value]) => `${name} ${value}`);
  const words = [trace.policy, ...(trace.policy === "full" ? [] : [`budget ${trace.budget}`]), ...options];
  $("title").textContent = "What each step attended to: " + words.join(", ");
  const every = trace.every > 1 ? `, every ${trace.every}-th recorded` : "";
  $("caption").textContent =
      `${trace.model} · prompt of ${grouped(trace.prompt)} tokens · ` +
      `${grouped((trace.steps - 1) * trace.every + 1)} decode steps${every} · ` +
      `${trace.layers} layers, ${trace.heads} KV heads`;
}

if (trace.steps > 0) {
  fillWords();
  fillControls();
  fillLegend();
  seeWhole();
  listen();
  draw();
} else $("caption").textContent = "The trace holds no decode step.";
