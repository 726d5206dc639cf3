"use strict";
// The explorer of a report. All data stand in the page; texts reach it as text nodes only.
(() => {
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const plot = document.getElementById("explorer-plot");
  const element = (id) => document.getElementById(`explorer-${id}`);
  const [analysisChoice, projectionChoice, colourChoice] = ["analysis", "projection", "colour"].map(element);
  const [legend, card, list, summary, clear, save] = ["legend", "card", "list", "summary", "clear", "save"].map(element);
  const UNKNOWN = "#C9C9C9";
  const SYMBOLS = ["circle", "square", "triangle-up"]; // of training, validation and test images
  const MOST_LISTED = 120;
  const hidden = new Set(); // categories that are switched off, of the colouring that is shown
  let selected = []; // image numbers
  let current = null; // the image under the pointer, or the one that the arrow keys have reached

  const make = (tag, text = "", attributes = {}) => {
    const node = document.createElement(tag);
    node.textContent = text;
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    return node;
  };
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const analysis = () => data.analyses[analysisChoice.value];
  const places = () => analysis().projections[projectionChoice.value];
  const colourings = () => [...analysis().colourings, ...data.colourings];
  const colouring = () => colourings().find((one) => one.title === colourChoice.value) || colourings()[0];
  const isShown = (image) => places().x[image] !== null;

  const valueOf = (one, image) => {
    if (one.values) return one.values[image] === null ? one.unknown : String(one.values[image]);
    return one.codes[image] < 0 ? one.unknown : one.names[one.codes[image]];
  };

  function fill(select, values, chosen) {
    select.replaceChildren(...values.map(([value, text]) => make("option", text, { value })));
    if (values.some(([value]) => value === chosen)) select.value = chosen;
  }

  function fillChoices() {
    fill(projectionChoice, Object.keys(analysis().projections).map((name) => [name, name]), projectionChoice.value);
    fill(colourChoice, colourings().map((one) => [one.title, one.title]), colourChoice.value);
  }

  // ------------------------------------------------------------------------------------ points

  function groups() {
    const one = colouring();
    const images = data.id.map((_, image) => image).filter(isShown);
    if (one.values) {
      const known = images.filter((image) => one.values[image] !== null);
      return [
        { name: one.unknown, color: UNKNOWN, images: images.filter((image) => one.values[image] === null) },
        { name: one.title, color: known.map((image) => one.values[image]), images: known, scale: true },
      ];
    }
    const unknown = { name: one.unknown, color: UNKNOWN, images: images.filter((image) => one.codes[image] < 0) };
    return [unknown].concat(
      one.names.map((name, code) => ({
        name,
        color: one.palette[code],
        images: images.filter((image) => one.codes[image] === code),
      })),
    );
  }

  const hasWebGL = (() => {
    try {
      return Boolean(document.createElement("canvas").getContext("webgl"));
    } catch {
      return false;
    }
  })();

  function trace(group) {
    const chosen = new Set(selected);
    const points = group.images.flatMap((image, place) => (chosen.has(image) ? [place] : []));
    const marker = {
      color: group.color,
      size: data.id.length > 5000 ? 4 : 7,
      symbol: group.images.map((image) => SYMBOLS[data.part[image]] || "circle"),
      line: { width: data.id.length > 5000 ? 0 : 0.5, color: style("--card") },
    };
    if (group.scale) {
      Object.assign(marker, { colorscale: "Viridis", showscale: true });
      marker.colorbar = { thickness: 12, len: 0.7, tickfont: { color: style("--ink") }, outlinewidth: 0 };
    }
    return {
      type: hasWebGL ? "scattergl" : "scatter",
      mode: "markers",
      x: group.images.map((image) => places().x[image]),
      y: group.images.map((image) => places().y[image]),
      customdata: group.images,
      name: group.name,
      visible: !hidden.has(group.name),
      hoverinfo: "none",
      marker,
      selectedpoints: selected.length ? points : undefined,
      unselected: { marker: { opacity: 0.15 } },
    };
  }

  function draw() {
    const shown = groups().filter((group) => group.images.length);
    const axis = { showticklabels: false, zeroline: false, gridcolor: style("--line"), linecolor: style("--line") };
    const range = `${analysisChoice.value} ${projectionChoice.value}`;
    const layout = {
      // on a phone the page must scroll under the finger
      dragmode: plot.layout ? plot.layout.dragmode : matchMedia("(pointer: coarse)").matches ? false : "lasso",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: style("--soft"), activecolor: style("--link") },
      hovermode: "closest",
      margin: { l: 36, r: 12, t: 12, b: 36 },
      showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: style("--soft"), family: "system-ui, sans-serif", size: 12 },
      xaxis: { ...axis, title: { text: `${projectionChoice.value} 1` } },
      yaxis: { ...axis, title: { text: `${projectionChoice.value} 2` }, scaleanchor: "x" },
      uirevision: range, // zoom stays while only colours change
      selectionrevision: range,
    };
    const settings = {
      responsive: true,
      displaylogo: false,
      scrollZoom: true,
      modeBarButtons: [["lasso2d", "select2d", "pan2d", "zoom2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
      displayModeBar: true,
    };
    Plotly.react(plot, shown.map(trace), layout, settings);
    drawLegend(shown);
  }

  function drawLegend(shown) {
    legend.replaceChildren(
      ...shown.filter((group) => !group.scale).map((group) => {
        const label = make("label");
        const box = make("input", "", { type: "checkbox" });
        box.checked = !hidden.has(group.name);
        box.addEventListener("change", () => {
          if (box.checked) hidden.delete(group.name);
          else hidden.add(group.name);
          draw();
        });
        const swatch = make("i");
        swatch.style.background = group.color;
        label.append(box, swatch, `${group.name} (${group.images.length})`);
        return label;
      }),
    );
  }

  // ------------------------------------------------------------------------------- one image

  function picture(image) {
    if (!data.pictures[image]) return make("div", "no picture", { class: "no-picture" });
    return make("img", "", { src: `data:image/webp;base64,${data.pictures[image]}`, alt: data.path[image] });
  }

  function show(image) {
    current = image;
    const facts = make("dl");
    const add = (name, value) => facts.append(make("dt", name), make("dd", value));
    add("file", data.path[image]);
    add("patient", data.patient[image]);
    colourings().forEach((one) => add(one.title, valueOf(one, image)));
    add("image id", data.id[image]);
    card.replaceChildren(picture(image), facts);
  }

  // ----------------------------------------------------------------------------- selected images

  function select(images) {
    selected = images;
    const one = colouring();
    const counts = new Map();
    images.forEach((image) => counts.set(valueOf(one, image), (counts.get(valueOf(one, image)) || 0) + 1));
    const parts = one.values ? [] : [...counts].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name}: ${count}`);
    const more = images.length > MOST_LISTED ? ` The first ${MOST_LISTED} are shown.` : "";
    summary.textContent = images.length
      ? `${images.length} images selected${parts.length ? ` (${one.title} ${parts.join(", ")})` : ""}.${more}`
      : "Draw around points, or click one, to list their images.";
    list.replaceChildren(
      ...images.slice(0, MOST_LISTED).map((image) => {
        const button = make("button", "", { type: "button", title: data.path[image] });
        button.append(picture(image), make("span", valueOf(one, image)));
        button.addEventListener("click", () => show(image));
        return button;
      }),
    );
    clear.hidden = save.hidden = !images.length;
  }

  function saveSelected() {
    const columns = colourings();
    const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
    const row = (image) => [data.id[image], data.path[image], data.patient[image], ...columns.map((one) => valueOf(one, image))];
    const head = ["image_id", "path", "patient", ...columns.map((one) => one.title)];
    const lines = [head, ...selected.map(row)].map((cells) => cells.map(quoted).join(","));
    const link = make("a", "", { download: "selected-images.csv" });
    link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(`${lines.join("\n")}\n`)}`;
    link.click();
  }

  // ------------------------------------------------------------------------------------ keyboard

  const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  function nearest([dx, dy]) {
    const { x, y } = places();
    let best = null;
    let least = Infinity;
    groups().filter((group) => !hidden.has(group.name)).forEach((group) => group.images.forEach((image) => {
      if (image === current) return;
      const [right, up] = [x[image] - x[current], y[image] - y[current]];
      const [along, aside] = [right * dx + up * dy, Math.abs(right * dy) + Math.abs(up * dx)];
      if (along <= 0 || aside > 2 * along) return;
      const distance = along + 2 * aside;
      if (distance < least) [best, least] = [image, distance];
    }));
    return best;
  }

  function mark(image) {
    const { x, y } = places();
    Plotly.relayout(plot, {
      annotations: [{ x: x[image], y: y[image], text: "", showarrow: true, arrowhead: 2, arrowcolor: style("--ink"), ax: 0, ay: -28 }],
    });
  }

  plot.addEventListener("keydown", (event) => {
    const direction = DIRECTIONS[event.key];
    if (direction) {
      event.preventDefault();
      const first = groups().find((group) => !hidden.has(group.name) && group.images.length);
      const next = current === null || !isShown(current) ? first && first.images[0] : nearest(direction);
      if (next === null || next === undefined) return;
      show(next);
      mark(next);
    } else if (event.key === "Enter" && current !== null) {
      select([current]);
      draw();
    } else if (event.key === "Escape") {
      select([]);
      Plotly.relayout(plot, { annotations: [] });
      draw();
    }
  });

  // ---------------------------------------------------------------------------------------- start

  fill(analysisChoice, data.analyses.map((one, number) => [String(number), one.name]), "0");
  fillChoices();
  analysisChoice.addEventListener("change", () => { hidden.clear(); fillChoices(); select(selected.filter(isShown)); draw(); });
  projectionChoice.addEventListener("change", () => { select(selected.filter(isShown)); draw(); });
  colourChoice.addEventListener("change", () => { hidden.clear(); select(selected); draw(); });
  clear.addEventListener("click", () => { select([]); draw(); });
  save.addEventListener("click", saveSelected);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  select([]);
  draw();
  plot.on("plotly_hover", ({ points }) => show(points[0].customdata));
  plot.on("plotly_click", ({ points }) => { show(points[0].customdata); select([points[0].customdata]); draw(); });
  plot.on("plotly_selected", (event) => { if (event && event.points.length) { select(event.points.map((point) => point.customdata)); draw(); } });
  plot.on("plotly_deselect", () => { select([]); draw(); });
  document.documentElement.dataset.explorer = "ready";
})();
