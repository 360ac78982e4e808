// The graph: nodes and edges on a canvas, laid out by dagre whenever what is wired changes.
//
// Figures change labels and looks only: nothing moves from one second to the next.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { hz, ms, percent, stateOf, STATES, TROUBLES } from "./format.js";
import { select, store } from "./store.js";

/* global cytoscape, dagre */

const HEIGHT = 48;
const FAR = 0.45; // zoom, under which words cannot be read: nodes are spots of colour
const FONT = 'system-ui, "Segoe UI", Roboto, sans-serif';

export function Graph({ state, selected }) {
  const box = useRef(null);
  const cy = useRef(null);
  const shape = useRef("");
  const [looks, setLooks] = useState([]);

  useEffect(() => {
    cy.current = made(box.current);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const restyle = () => cy.current.style(styles());
    dark.addEventListener("change", restyle);
    let width = box.current.clientWidth;
    const sized = new ResizeObserver(() => {
      if (!box.current?.clientWidth) return;
      cy.current.resize();
      if (Math.abs(box.current.clientWidth - width) > 4) laidOut(cy.current, box.current);
      width = box.current.clientWidth;
    });
    sized.observe(box.current);
    return () => {
      dark.removeEventListener("change", restyle);
      sized.disconnect();
      cy.current.destroy();
    };
  }, []);

  useEffect(() => {
    if (!state) return;
    const now = shapeOf(state);
    if (now !== shape.current) {
      rewire(cy.current, state);
      laidOut(cy.current, box.current);
      shape.current = now;
    }
    update(cy.current, state);
    setLooks(present(state));
  }, [state]);

  useEffect(() => {
    cy.current.$(":selected").unselect();
    if (selected) bring(cy.current, cy.current.getElementById(`${selected.kind} ${selected.id}`).select());
  }, [selected, state && shapeOf(state)]);

  const zoom = (factor) => {
    const view = cy.current;
    view.zoom({ level: view.zoom() * factor, renderedPosition: { x: view.width() / 2, y: view.height() / 2 } });
  };
  return html`
    <section class="graph" aria-label="Graph of the dataflow">
      <div class="canvas" ref=${box} role="img" aria-label=${spoken(state)}></div>
      <${Legend} looks=${looks} />
      <div class="zoom" role="group" aria-label="Zoom">
        <button class="icon" title="Larger" aria-label="Larger" onClick=${() => zoom(1.3)}>+</button>
        <button class="icon" title="Smaller" aria-label="Smaller" onClick=${() => zoom(1 / 1.3)}>−</button>
        <button class="icon" title="Show all" aria-label="Show all" onClick=${() => fit(cy.current)}>⤢</button>
      </div>
    </section>`;
}

function Legend({ looks }) {
  if (!looks.length) return null;
  return html`
    <ul class="legend" aria-label="Legend">
      ${looks.map(
        (one) => html`<li key=${one.word} class=${one.look}><span class="sign" aria-hidden="true">${one.sign}</span>${one.word}</li>`,
      )}
    </ul>`;
}

// What of the legend is to be seen now: states of nodes, then what is the matter with edges.
function present(state) {
  const states = new Set(state.nodes.map((node) => stateOf(node)));
  const troubles = new Set(state.edges.map((edge) => edge.trouble));
  const found = Object.values(STATES).filter((one) => states.has(one));
  for (const [key, one] of Object.entries(TROUBLES)) {
    if (troubles.has(key)) found.push({ ...one, look: `trouble-${key}` });
  }
  return found;
}

function spoken(state) {
  if (!state) return "Nothing to show yet";
  return `${state.nodes.length} nodes, ${state.edges.length} edges; the tables of nodes and edges have all of it`;
}

// ---- elements ----

function shapeOf(state) {
  const nodes = state.nodes.map((node) => node.id).join(" ");
  return `${nodes} | ${state.edges.map((edge) => edge.id).join(" ")}`;
}

function made(container) {
  const view = cytoscape({
    container,
    style: styles(),
    minZoom: 0.08,
    maxZoom: 2.5,
    boxSelectionEnabled: false,
    autoungrabify: true,
    selectionType: "single",
  });
  view.on("tap", "node", (event) => select({ kind: "node", id: event.target.data("of") }));
  view.on("tap", "edge", (event) => select({ kind: "edge", id: event.target.data("of") }));
  view.on("tap", (event) => {
    if (event.target === view && store.selected) select(null);
  });
  let far = null;
  const mark = () => {
    if (far === view.zoom() < FAR) return;
    far = view.zoom() < FAR;
    view.batch(() => view.elements().toggleClass("far", far));
  };
  view.on("zoom", mark);
  view.on("add", (event) => event.target.toggleClass("far", view.zoom() < FAR));
  for (const [event, cursor] of [["mouseover", "pointer"], ["mouseout", "default"]]) {
    view.on(event, "node, edge", () => (container.style.cursor = cursor));
  }
  return view;
}

function rewire(view, state) {
  const there = new Set();
  const several = new Set(state.nodes.filter((node) => node.outputs.length > 1).map((node) => node.id));
  const known = new Set(state.nodes.map((node) => node.id));
  const elements = [];
  for (const node of state.nodes) {
    elements.push({ group: "nodes", data: { id: `node ${node.id}`, of: node.id, label: node.id, width: Math.max(104, 7.6 * node.id.length + 40) } });
  }
  for (const edge of state.edges) {
    if (!known.has(edge.from) || !known.has(edge.to)) continue;
    elements.push({
      group: "edges",
      data: { id: `edge ${edge.id}`, of: edge.id, label: "", mx: 0, my: 0, named: several.has(edge.from), source: `node ${edge.from}`, target: `node ${edge.to}` },
    });
  }
  view.batch(() => {
    for (const element of elements) {
      there.add(element.data.id);
      if (view.getElementById(element.data.id).empty()) view.add(element);
    }
    view.elements().filter((one) => !there.has(one.id())).remove();
  });
}

function update(view, state) {
  view.batch(() => {
    for (const node of state.nodes) {
      const one = view.getElementById(`node ${node.id}`);
      const { sign, word, look } = stateOf(node);
      const figures = look === "running" && node.cpu !== null ? `${percent(node.cpu)} CPU` : word;
      change(one, { label: `${sign} ${node.id}\n${figures}`, look });
    }
    for (const edge of state.edges) {
      const one = view.getElementById(`edge ${edge.id}`);
      change(one, { label: edgeLabel(edge, one.data("named")), look: edgeLook(edge) });
    }
  });
}

function change(element, data) {
  for (const [key, value] of Object.entries(data)) {
    if (element.data(key) !== value) element.data(key, value);
  }
}

function edgeLook(edge) {
  return edge.trouble || (edge.open ? "open" : "closed");
}

// The output is named where the sender has several.
function edgeLabel(edge, named) {
  if (!edge.open) return "closed";
  if (edge.hz === null) return edge.output;
  const parts = [hz(edge.hz)];
  if (edge.hz && edge.p50_ms !== null) parts.push(ms(edge.p50_ms));
  const trouble = TROUBLES[edge.trouble];
  const lost = edge.dropped_hz ? `\n▼ ${hz(edge.dropped_hz)} lost` : trouble ? `\n${trouble.sign} ${trouble.word}` : "";
  return `${named ? `${edge.output}\n` : ""}${parts.join(" · ")}${lost}`;
}

// ---- layout ----

const WAYS = [
  { rankdir: "LR", ranksep: 26, nodesep: 30, edgesep: 14 },
  { rankdir: "TB", ranksep: 30, nodesep: 34, edgesep: 20 },
];
const ROOM_FOR_LABELS = 150; // edges; of more, labels are too small to read when all is shown

// Lay out in the direction that leaves things larger. Edges go around nodes and their labels.
function laidOut(view, box) {
  if (!view.nodes().length || !box.clientWidth) return;
  const scale = ({ width, height }) => Math.min(box.clientWidth / width, box.clientHeight / height);
  const [across, down] = WAYS.map((way) => placed(view, way));
  const best = scale(down.graph()) > scale(across.graph()) * 1.15 ? down : across;
  stretch(best, box);
  view.batch(() => {
    view.nodes().forEach((node) => {
      const { x, y } = best.node(node.id());
      node.position({ x, y });
    });
    view.edges().forEach((edge) => route(edge, best.edge(edge.data("source"), edge.data("target"), edge.id())));
  });
  view.edges().forEach((edge) => pin(edge, best.edge(edge.data("source"), edge.data("target"), edge.id())));
  fit(view);
}

function placed(view, way) {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph(way);
  view.nodes().forEach((node) => graph.setNode(node.id(), { width: node.data("width"), height: HEIGHT }));
  const labels = view.edges().length <= ROOM_FOR_LABELS;
  view.edges().forEach((edge) => {
    const room = labels ? { width: 92, height: edge.data("named") ? 44 : 30, labelpos: "c" } : {};
    graph.setEdge(edge.data("source"), edge.data("target"), { ...room }, edge.id());
  });
  dagre.layout(graph);
  return graph;
}

// Give ranks the room that the page has left.
function stretch(graph, box) {
  const { width, height, rankdir } = graph.graph();
  const wide = box.clientWidth / box.clientHeight / (width / height);
  const [axis, spare] = rankdir === "LR" ? ["x", wide] : ["y", 1 / wide];
  const factor = Math.min(2.5, Math.max(1, spare));
  for (const id of graph.nodes()) graph.node(id)[axis] *= factor;
  for (const id of graph.edges()) {
    const edge = graph.edge(id);
    for (const point of edge.points) point[axis] *= factor;
    if (edge[axis] !== undefined) edge[axis] *= factor;
  }
}

// The corners of an edge, as cytoscape has them: along the line between its ends, and off it.
function route(edge, { points }) {
  const from = edge.source().position();
  const to = edge.target().position();
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy);
  const corners = points.slice(1, -1);
  if (!length || !corners.length) {
    edge.data({ weights: "", offs: "" });
    return;
  }
  edge.data({
    weights: corners.map((p) => (((p.x - from.x) * dx + (p.y - from.y) * dy) / length ** 2).toFixed(4)).join(" "),
    offs: corners.map((p) => (((p.y - from.y) * dx - (p.x - from.x) * dy) / length).toFixed(2)).join(" "),
  });
}

// Put the label where there is room for it.
function pin(edge, { x, y }) {
  const middle = edge.midpoint();
  if (x === undefined || !middle) edge.data({ mx: 0, my: 0 });
  else edge.data({ mx: x - middle.x, my: y - middle.y });
}

// Into sight, where it is not, or is too small to be read.
function bring(view, element) {
  if (element.empty()) return;
  const sight = view.extent();
  const { x1, x2, y1, y2 } = element.boundingBox({ includeLabels: false });
  const seen = x1 >= sight.x1 && x2 <= sight.x2 && y1 >= sight.y1 && y2 <= sight.y2;
  if (view.zoom() < FAR) view.zoom(0.8);
  else if (seen) return;
  view.center(element);
}

function fit(view) {
  view.fit(undefined, 48);
  if (view.zoom() > 1.15) {
    view.zoom(1.15);
    view.center();
  }
}

// ---- looks ----

function styles() {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(`--${name}`).trim();
  const stripe = (name, line = "solid") => ({
    "background-gradient-stop-colors": `${colour(name)} ${colour(name)} ${colour("surface")} ${colour("surface")}`,
    "border-color": colour(name),
    "border-style": line,
  });
  const line = (name, fields) => ({ "line-color": colour(name), "target-arrow-color": colour(name), color: colour(`${name}-ink`) || colour(name), ...fields });
  return [
    {
      selector: "node",
      style: {
        shape: "round-rectangle",
        width: "data(width)",
        height: HEIGHT,
        label: "data(label)",
        "text-wrap": "wrap",
        "text-valign": "center",
        "text-halign": "center",
        "font-family": FONT,
        "font-size": 13,
        "line-height": 1.3,
        color: colour("ink"),
        "background-fill": "linear-gradient",
        "background-gradient-direction": "to-right",
        "background-gradient-stop-positions": "0 5 5 100",
        "border-width": 1.5,
        "overlay-opacity": 0,
        ...stripe("quiet-line"),
      },
    },
    { selector: "node[look='running']", style: stripe("running") },
    { selector: "node[look='starting']", style: stripe("starting", "dashed") },
    { selector: "node[look='restarting']", style: { ...stripe("restarting", "dashed"), "border-width": 3 } },
    { selector: "node[look='stopping']", style: stripe("restarting", "dashed") },
    { selector: "node[look='failed']", style: { ...stripe("failed", "double"), "border-width": 5, color: colour("failed") } },
    { selector: "node[look='stopped']", style: { ...stripe("stopped", "dotted"), color: colour("muted") } },
    { selector: "node[look='absent']", style: { ...stripe("stopped", "dashed"), color: colour("muted") } },
    {
      selector: "edge",
      style: {
        width: 1.75,
        "curve-style": "bezier",
        "control-point-step-size": 70,
        "target-arrow-shape": "triangle",
        "arrow-scale": 0.9,
        label: "data(label)",
        "text-wrap": "wrap",
        "font-family": FONT,
        "font-size": 11,
        "line-height": 1.25,
        "min-zoomed-font-size": 7,
        "text-margin-x": "data(mx)",
        "text-margin-y": "data(my)",
        "text-background-color": colour("canvas"),
        "text-background-opacity": 1,
        "text-background-padding": 2,
        "overlay-opacity": 0,
        ...line("edge"),
        color: colour("muted"),
      },
    },
    {
      selector: "edge[weights][weights != '']",
      style: {
        "curve-style": "round-segments",
        "segment-weights": "data(weights)",
        "segment-distances": "data(offs)",
        "segment-radii": 24,
        "edge-distances": "node-position",
      },
    },
    { selector: "edge[look='closed']", style: { ...line("quiet-line"), "line-style": "dotted", color: colour("muted") } },
    { selector: "edge[look='slow']", style: line("restarting", { width: 3, "line-style": "dashed" }) },
    { selector: "edge[look='silent']", style: line("restarting", { width: 3, "line-style": "dotted" }) },
    { selector: "edge[look='drops']", style: line("failed", { width: 4, "target-arrow-shape": "vee" }) },
    { selector: "node.far", style: { "background-gradient-stop-positions": "0 100 100 100", "text-opacity": 0 } },
    { selector: "node.far[look='stopped'], node.far[look='absent']", style: { "background-gradient-stop-positions": "0 5 5 100", "border-width": 4 } },
    { selector: "edge.far", style: { width: 3, "text-opacity": 0, "arrow-scale": 1.2 } },
    { selector: "edge.far[look='drops'], edge.far[look='slow'], edge.far[look='silent']", style: { width: 10 } },
    { selector: "node:selected", style: { "underlay-color": colour("accent"), "underlay-opacity": 0.28, "underlay-padding": 7, "underlay-shape": "round-rectangle" } },
    { selector: "edge:selected", style: { "underlay-color": colour("accent"), "underlay-opacity": 0.32, "underlay-padding": 5 } },
  ];
}
