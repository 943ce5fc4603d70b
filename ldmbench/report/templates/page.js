"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const read = (id) => JSON.parse($(id).textContent);
  const data = read("data");
  const cells = new Map(data.cells.map((cell, i) => [cell.id, { ...cell, i }]));
  const rows = all("#table tbody tr");

  /** Make an element; text is always text, never HTML. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // Theme: what the reader's system says, until the button says otherwise.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const mode = () => document.documentElement.dataset.theme || "light";
  function setTheme(name) {
    document.documentElement.dataset.theme = name;
    redraw();
  }

  // Figures: drawn when they come near, and again when the theme changes.
  const views = new Map();
  let specs = null;
  let whole = false; // figures and pictures stand behind this script in the file
  function loadVega() {
    if (window.vegaEmbed) return;
    const script = document.createElement("script");
    script.textContent = `(()=>{${$("bundle").textContent}})();`;
    document.head.append(script);
    specs = read("specs");
  }
  /** Fit a figure to its place: narrower, and one dataset below the other where two do not fit. */
  function fitted(name, room) {
    const spec = structuredClone(specs.figures[name]);
    if (!room) return spec;
    const part = spec.facet ? spec.spec : spec;
    if (spec.facet && room < 2 * part.width + 130) {
      const half = Math.floor((room - 150) / 2);
      if (half >= 400) part.width = half;
      else spec.columns = 1;
    }
    if (!spec.facet || spec.columns === 1) part.width = Math.max(200, Math.min(part.width, room - 90));
    narrowed(spec, part.width * (spec.columns === 2 ? 2 : 1));
    return spec;
  }
  const WRAP = 56; // letters of a legend's name on one line (encodings.py)
  /** Give every legend no more columns than its names have room for. */
  function narrowed(node, room) {
    if (!node || typeof node !== "object") return;
    if (node.legend && node.legend.columns && node.legend.values) {
      const longest = Math.min(WRAP, Math.max(1, ...node.legend.values.map((name) => String(name).length)));
      node.legend.columns = Math.max(1, Math.min(node.legend.columns, Math.floor(room / (7 * (longest + 4)))));
    }
    for (const part of Object.values(node)) narrowed(part, room);
  }
  const embed = (target, name, theme, room = 0) =>
    window.vegaEmbed(target, fitted(name, room), {
      mode: "vega-lite", renderer: "svg", actions: false, logLevel: 1, config: specs.config[theme],
      tooltip: { theme: theme === "dark" ? "dark" : "light" },
    });
  async function drawChart(place) {
    loadVega();
    const name = place.dataset.chart;
    place.dataset.room = place.clientWidth;
    const { view } = await embed(place, name, mode(), place.clientWidth);
    views.set(name, view);
    place.dataset.drawn = mode();
    const graphic = place.querySelector("svg");
    if (graphic) graphic.setAttribute("aria-hidden", "true");
    steer(view);
    view.addEventListener("mouseover", (_, item) => {
      if (item && item.datum && item.datum.cell && item.mark.marktype === "symbol") {
        hover({ cell: item.datum.cell, series: item.datum.series }, true);
      }
    });
    view.addEventListener("mouseout", () => hover(null));
    view.addEventListener("click", (_, item) => {
      if (item && item.datum && cells.has(item.datum.cell)) showCell(item.datum.cell);
    });
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      drawChart(entry.target);
    }
  }, { rootMargin: "500px" });
  function redraw() {
    for (const view of views.values()) view.finalize();
    views.clear();
    if (whole) all("[data-chart]").forEach((place) => { near.unobserve(place); near.observe(place); });
  }
  let resizing = 0;
  addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => {
      if (all("[data-room]").some((place) => Math.abs(place.clientWidth - place.dataset.room) > 40)) redraw();
    }, 250);
  });
  function steer(view) {
    view.signal("keep", keep()).signal("hovered", hovered).runAsync();
  }

  // Linked hover: a point lights its row, a row its points.
  let hovered = null;
  function hover(what, fromChart = false) {
    if ((what && what.cell) === (hovered && hovered.cell)) return;
    hovered = what;
    rows.forEach((row) => row.classList.remove("lit"));
    if (what && fromChart && cells.has(what.cell)) {
      rowOf(what.cell)?.classList.add("lit");
    }
    for (const view of views.values()) view.signal("hovered", what).runAsync();
  }
  const byIndex = new Map(rows.map((row) => [Number(row.dataset.i), row]));
  const rowOf = (id) => byIndex.get(cells.get(id).i);
  const cellOf = (row) => data.cells[Number(row.dataset.i)];
  const seriesOf = (row) => row.querySelector("th .link").textContent;
  rows.forEach((row) => {
    const enter = () => hover({ cell: cellOf(row).id, series: seriesOf(row) });
    row.addEventListener("mouseenter", enter);
    row.addEventListener("focusin", enter);
    row.addEventListener("mouseleave", () => hover(null));
    row.addEventListener("focusout", () => hover(null));
  });

  // Filters: nothing pressed means everything.
  const chosen = { dataset: new Set(), series: new Set(), steps: new Set() };
  let wanted = "";
  function keep() {
    const part = (name, turn = (x) => x) => (chosen[name].size ? [...chosen[name]].map(turn) : null);
    const kept = { dataset: part("dataset"), series: part("series"), steps: part("steps", Number) };
    return kept.dataset || kept.series || kept.steps ? kept : null;
  }
  function fits(row) {
    const { cell, id } = cellOf(row);
    return (!chosen.dataset.size || chosen.dataset.has(cell.dataset))
      && (!chosen.steps.size || chosen.steps.has(String(cell.steps)))
      && (!chosen.series.size || chosen.series.has(seriesOf(row)))
      && (!wanted || id.toLowerCase().includes(wanted));
  }
  function applyFilters() {
    let shown = 0;
    for (const row of rows) {
      row.hidden = !fits(row);
      shown += row.hidden ? 0 : 1;
    }
    $("count").textContent = shown === rows.length ? `${shown} cells` : `${shown} of ${rows.length} cells`;
    $("reset").hidden = !wanted && !keep();
    for (const view of views.values()) steer(view);
    if (browser) browser.filtered();
  }
  all("[data-filter]").forEach((chip) => chip.addEventListener("click", () => {
    const set = chosen[chip.dataset.filter];
    const on = !set.has(chip.dataset.value);
    set[on ? "add" : "delete"](chip.dataset.value);
    chip.setAttribute("aria-pressed", on);
    applyFilters();
  }));
  $("search").addEventListener("input", () => {
    wanted = $("search").value.trim().toLowerCase();
    applyFilters();
  });
  $("reset").addEventListener("click", () => {
    Object.values(chosen).forEach((set) => set.clear());
    all("[data-filter]").forEach((chip) => chip.setAttribute("aria-pressed", "false"));
    $("search").value = wanted = "";
    applyFilters();
  });

  // Table: sort by a heading, show and hide groups of columns.
  function sortBy(button) {
    const head = button.closest("th");
    const column = [...head.parentNode.children].indexOf(head);
    const was = head.getAttribute("aria-sort");
    const first = button.dataset.kind === "higher" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const now = was === "none" ? first : was === first ? other : "none";
    all("#table thead th").forEach((th) => th.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", now);
    const sign = now === "descending" ? -1 : 1;
    const text = button.dataset.kind === "text";
    const value = (row) => {
      const cell = row.children[column];
      if (!text) return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
      return column ? cell.textContent : seriesOf(row);
    };
    const ordered = [...rows].sort((a, b) => {
      if (now === "none") return a.dataset.i - b.dataset.i;
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a.dataset.i - b.dataset.i;
      const order = text ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return sign * order || a.dataset.i - b.dataset.i;
    });
    $("table").tBodies[0].append(...ordered);
  }
  all("#table thead button").forEach((button) => button.addEventListener("click", () => sortBy(button)));
  function setGroup(chip) {
    const on = chip.getAttribute("aria-pressed") === "true";
    $("table")?.classList.toggle(`hide-${chip.dataset.group}`, !on);
  }
  all("[data-group]").forEach((chip) => {
    setGroup(chip);
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
      setGroup(chip);
    });
  });

  // Files to take away: made here, so that nothing is asked of a server.
  function save(name, content, type) {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    const link = make("a", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
  all("[data-save]").forEach((chip) => chip.addEventListener("click", () => {
    const kind = chip.dataset.save;
    save(`${data.suite}.${kind}`, read("files")[kind], "text/plain");
  }));
  all("[data-figure]").forEach((button) => button.addEventListener("click", async () => {
    loadVega();
    const off = make("div");
    const { view } = await embed(off, button.dataset.figure, "light");
    await view.signal("keep", keep()).runAsync();
    const name = `${data.suite}-${button.dataset.figure}`;
    if (button.dataset.as === "svg") save(`${name}.svg`, await view.toSVG(), "image/svg+xml");
    else (await view.toCanvas(2)).toBlob((blob) => save(`${name}.png`, blob));
    view.finalize();
  }));

  // Dialogs.
  function open(dialog, title, ...body) {
    const close = make("button", { type: "button", class: "quiet", "aria-label": "Close" }, "✕ Close");
    close.addEventListener("click", () => dialog.close());
    const heading = make("h2", { id: `${dialog.id}-h` }, title);
    dialog.replaceChildren(make("div", { class: "d-head" }, heading, close), make("div", { class: "d-body" }, ...body));
    dialog.showModal();
    dialog.scrollTop = 0;
  }
  all("dialog").forEach((dialog) => dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  }));
  const plain = (value) => value === null || value === undefined ? "–"
    : typeof value === "number" ? String(Number.isInteger(value) ? value : Number(value.toPrecision(6)))
    : typeof value === "object" ? JSON.stringify(value) : String(value);
  function fields(entries) {
    const list = make("dl", { class: "fields" });
    for (const [name, value] of entries) {
      list.append(make("div", {}, make("dt", {}, name), make("dd", { class: "mono" }, plain(value))));
    }
    return list;
  }
  function signature(text) {
    const box = make("div", { class: "sig mono" });
    text.split("|").forEach((part) => {
      const colon = part.indexOf(":");
      box.append(colon < 0 ? make("span", {}, part)
        : make("span", {}, make("i", {}, part.slice(0, colon + 1)), part.slice(colon + 1)));
    });
    return box;
  }
  function grid(headings, lines) {
    const head = make("tr", {}, ...headings.map((h) => make("th", { scope: "col" }, h)));
    const body = lines.map((line) => make("tr", {}, ...line.map((part) => make("td", {}, part))));
    return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  }
  function interval(x) {
    return x.low === undefined || x.high === undefined ? "–" : `${plain(x.low)} … ${plain(x.high)}`;
  }
  function showCell(id) {
    const cell = cells.get(id);
    if (!cell) return;
    const body = [];
    if (cell.status === "failed") {
      body.push(make("div", { class: "notice failure" }, make("span", { class: "tag" }, "✕ Failed"), cell.reason || "no reason was recorded"));
    }
    const { axes, ...what } = cell.cell;
    body.push(make("h3", {}, "What was measured"), fields([...Object.entries(what), ...Object.entries(axes)]));
    if (cell.scores.length) {
      body.push(make("h3", {}, "Quality: each score and its signature"), grid(
        ["Score", "Value", "Interval", "How"],
        cell.scores.map((s) => [
          make("b", { title: data.meanings[s.name] || "" }, data.labels[s.name] || s.name),
          s.value === undefined ? `– ${s.reason || ""}` : plain(s.value),
          interval(s) + (s.confidence ? ` (${s.confidence * 100} %${s.method ? ", " + s.method : ""})` : ""),
          signature(s.signature),
        ])));
    }
    if (cell.measures.length) {
      body.push(make("h3", {}, "Speed and cost"), grid(
        ["Measure", "Value", "Interval", "Unit", "Repeats", "Device"],
        cell.measures.map((m) => [
          make("b", { title: data.meanings[m.name] || "" }, data.labels[m.name] || m.name),
          m.value === undefined ? `– ${m.reason || ""}` : plain(m.value), interval(m),
          m.unit + (m.batch ? `, batch ${m.batch}` : ""), plain(m.n), m.device,
        ])));
    }
    body.push(
      make("h3", {}, "Keys of the stages"), fields(Object.entries(cell.keys)),
      make("h3", {}, "Machine"), fields(Object.entries(data.machines[cell.machine])),
      make("h3", {}, "Versions"), fields(Object.entries(data.versions[cell.versions])));
    open($("detail"), cell.id, ...body);
  }
  all("[data-open]").forEach((button) => button.addEventListener("click", () => showCell(button.dataset.open)));

  // Samples: the same seeds side by side, real images first.
  function makeBrowser() {
    if (!$("browser")) return null;
    let images = null;
    const classes = new Map();
    const style = document.head.appendChild(make("style"));
    const state = { dataset: null, mode: "series", fixed: null, first: 0, size: 8 };
    const WHO = $("browser").clientWidth < 800 ? 110 : 210;
    const TILE = Math.max(64, Math.min(128, Math.floor(($("browser").clientWidth - WHO - 40) / 8) - 6));
    const unique = (list) => [...new Set(list)];
    let word = "seed"; // what a column is; of first stages alone an image
    const breakable = (name) => name.replaceAll(",", ",\u200b"); // lines may end at commas
    function classOf(sheet) {
      if (!classes.has(sheet)) {
        const name = `sheet-${classes.size}`;
        style.sheet.insertRule(`.${name}{background-image:url("${sheet.uri}")}`);
        classes.set(sheet, name);
      }
      return classes.get(sheet);
    }
    function tile(sheet, index, size, tag = "button") {
      const column = index % sheet.columns;
      const row = Math.floor(index / sheet.columns);
      const words = `${sheet.line}${sheet.steps ? `, ${sheet.steps} steps` : ""}, ${word} ${index}` +
        (sheet.captions[index] ? `: ${sheet.captions[index]}` : "");
      const box = make(tag, { class: `tile ${classOf(sheet)}`, "data-seed": index, title: words, "aria-label": words });
      if (tag === "button") box.type = "button"; else box.setAttribute("role", "img");
      box.style.cssText = `width:${size}px;height:${size}px;` +
        `background-size:${sheet.columns * size}px ${sheet.rows * size}px;` +
        `background-position:${-column * size}px ${-row * size}px`;
      return box;
    }
    const mine = () => images.filter((s) => s.dataset === state.dataset);
    function lines() {
      const field = state.mode;
      return mine().filter((s) => s.cell
        && (field === "series" ? String(s.steps) === state.fixed : s.line === state.fixed)
        && (!chosen.series.size || chosen.series.has(s.series))
        && (field === "series" || !chosen.steps.size || chosen.steps.has(String(s.steps))));
    }
    function options(select, values, value) {
      select.replaceChildren(...values.map((v) => make("option", { value: v }, v === "null" ? "none (first stages)" : v)));
      select.value = values.includes(value) ? value : values[state.mode === "series" ? values.length - 1 : 0];
      return select.value;
    }
    function setUp() {
      const sheets = mine().filter((s) => s.cell);
      const values = state.mode === "series"
        ? unique(sheets.map((s) => s.steps)).sort((a, b) => a - b).map(String)
        : unique(sheets.map((s) => s.line));
      state.fixed = options($("s-fixed"), values, state.fixed);
      $("s-fixed-label").textContent = state.mode === "series" ? "at steps" : "of";
      draw();
    }
    function label(sheet) {
      const box = make("div", { class: "who" });
      const scores = cells.get(sheet.cell)?.scores || [];
      const score = scores.find((s) => s.name === data.headline && s.value !== undefined);
      box.append(make("b", {}, state.mode === "steps" && sheet.cell && sheet.steps ? `${sheet.steps} steps` : breakable(sheet.line)));
      box.append(make("span", {}, sheet.cell
        ? (score ? `${data.labels[score.name] || score.name} ${plain(Number(score.value.toPrecision(4)))}` : "")
        : state.dataset));
      return box;
    }
    function draw() {
      const real = mine().filter((s) => !s.cell);
      const shown = [...real, ...lines()];
      const count = Math.max(0, ...shown.map((s) => s.columns * s.rows));
      state.first = Math.max(0, Math.min(state.first, count - 1));
      const last = Math.min(count, state.first + state.size);
      const seeds = Array.from({ length: last - state.first }, (_, i) => state.first + i);
      const box = make("div", { class: "grid" });
      box.style.gridTemplateColumns = `${WHO}px repeat(${seeds.length}, ${TILE}px)`;
      box.append(make("div", { class: "who" }), ...seeds.map((s) => make("div", { class: "seed" }, `${word} ${s}`)));
      shown.forEach((sheet, i) => {
        box.append(label(sheet));
        for (const seed of seeds) {
          const there = seed < sheet.columns * sheet.rows;
          const one = there ? tile(sheet, seed, TILE) : make("div", {}, "");
          if (there) one.addEventListener("click", () => zoom(shown, seed));
          box.append(one);
        }
        if (i + 1 === real.length) box.append(make("div", { class: "rule" }));
      });
      const none = make("p", { class: "empty" }, "No sheet fits the filters.");
      $("browser").replaceChildren(shown.length > real.length ? box : none);
      $("s-range").textContent = count ? `${word}s ${state.first}–${last - 1} of ${count}` : "";
      $("s-prev").disabled = state.first === 0;
      $("s-next").disabled = last >= count;
      const same = (on) => (event) => {
        const seed = event.target.dataset && event.target.dataset.seed;
        if (seed !== undefined) all(`[data-seed="${seed}"]`, box).forEach((t) => t.classList.toggle("same", on));
      };
      box.addEventListener("mouseover", same(true));
      box.addEventListener("mouseout", same(false));
    }
    function zoom(shown, seed) {
      const words = shown.map((s) => s.cell && s.captions[seed]).find(Boolean);
      const figures = shown.filter((s) => seed < s.columns * s.rows).map((s) => make("figure", {},
        tile(s, seed, 200, "div"), make("figcaption", {}, s.steps ? `${s.line}, ${s.steps} steps` : s.line)));
      open($("zoom"), `${word[0].toUpperCase()}${word.slice(1)} ${seed}`, ...(words ? [make("p", {}, `“${words}”`)] : []), make("div", { class: "zoomed" }, ...figures));
    }
    function start() {
      images = read("images");
      if (images.every((s) => !s.cell || s.steps === null)) word = "image";
      const datasets = unique(images.map((s) => s.dataset));
      state.dataset = options($("s-dataset"), datasets, datasets[0]);
      $("s-dataset").addEventListener("change", (e) => { state.dataset = e.target.value; setUp(); });
      $("s-mode").addEventListener("change", (e) => { state.mode = e.target.value; setUp(); });
      $("s-fixed").addEventListener("change", (e) => { state.fixed = e.target.value; draw(); });
      $("s-prev").addEventListener("click", () => { state.first -= state.size; draw(); });
      $("s-next").addEventListener("click", () => { state.first += state.size; draw(); });
      setUp();
    }
    const seen = new IntersectionObserver((entries, observer) => {
      if (!entries.some((e) => e.isIntersecting)) return;
      observer.disconnect();
      start();
      api.filtered();
    }, { rootMargin: "400px" });
    addEventListener("DOMContentLoaded", () => seen.observe($("browser")));
    const api = {
      filtered() {
        if (!images) return;
        const [dataset] = chosen.dataset.size === 1 ? [...chosen.dataset] : [];
        const [steps] = chosen.steps.size === 1 ? [...chosen.steps] : [];
        if (dataset && images.some((s) => s.dataset === dataset)) $("s-dataset").value = state.dataset = dataset;
        if (steps && state.mode === "series") state.fixed = steps;
        setUp();
      },
    };
    return api;
  }

  const browser = makeBrowser();
  $("theme").addEventListener("click", () => setTheme(mode() === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  setTheme(dark.matches ? "dark" : "light");
  applyFilters();
  addEventListener("DOMContentLoaded", () => { whole = true; redraw(); });
})();
