// What the page knows, and the one connection by which it knows it.
//
// Components read `store` and are drawn anew after each message (`onChange`). The connection comes
// back by itself; a hidden tab looks at nothing.

const HISTORY = 120; // looks, one a second
const SERIES = 400; // values of a plotted output
const MOST_LINES = 2000;

export const store = {
  connection: "opening", // open, lost, refused
  version: "",
  readOnly: false,
  preferred: "",
  flows: null, // null: not told yet
  flow: null, // id of the one that is shown
  state: null, // its last snapshot
  ended: null, // why it shows nothing new: {name, why}
  late: "", // why it has shown nothing new for a while
  selected: null, // {kind: "node" | "edge", id}
  view: "graph", // on small screens
  drawer: "nodes",
  history: new Map(), // "edge 3" -> {t, hz, p50, dropped}
  previews: new Map(), // "node/output" -> the last message
  logs: { lines: [], leftOut: 0, filter: { node: null, level: "stdout", text: "" }, on: false, n: 0, waiting: true },
  recorder: null,
  notices: [],
};

const listeners = new Set();
const wanted = new Map(); // previews: output -> how many components show it
const waiting = new Map(); // actions: number -> resolve
const drawers = new Map(); // output -> functions that draw an image
let socket = null;
let retryMs = 500;
let lastNumber = 0;
let changing = false;

export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function changed() {
  if (changing) return;
  changing = true;
  queueMicrotask(() => {
    changing = false;
    for (const listener of listeners) listener();
  });
}

// ---- connection ----

export function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    store.connection = "open";
    retryMs = 500;
  };
  socket.onmessage = (event) => hear(event.data);
  socket.onclose = () => {
    socket = null;
    store.connection = "lost";
    for (const resolve of waiting.values()) resolve({ ok: false, text: "the connection was lost" });
    waiting.clear();
    changed();
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 1.6, 5000);
  };
}

function say(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) say({ t: "watch", flow: null });
  else ask();
});

// Ask for all that is shown now.
function ask() {
  if (!store.flow || document.hidden) return;
  say({ t: "watch", flow: store.flow });
  for (const output of wanted.keys()) say({ t: "peek", output });
  askLogs();
}

function hear(data) {
  if (typeof data !== "string") {
    const length = new DataView(data).getUint32(0, true);
    const told = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    takePreview(told, new Uint8Array(data, 4 + length));
    return;
  }
  const told = JSON.parse(data);
  const take = {
    hello: takeHello,
    flows: takeFlows,
    state: takeState,
    ended: takeEnd,
    late: takeLate,
    preview: takePreview,
    logs: takeLogs,
    recorder: takeRecorder,
    done: takeDone,
  }[told.t];
  if (take) take(told);
}

function takeHello(told) {
  store.version = told.version;
  store.readOnly = told.read_only;
  store.preferred = told.preferred;
  store.flows = null;
  changed();
}

function takeFlows(told) {
  const first = store.flows === null;
  store.flows = told.flows;
  const there = (id) => told.flows.some((flow) => flow.id === id);
  if (first && store.flow && there(store.flow)) {
    store.ended = null;
    ask(); // the connection is new
  } else if (!store.flow || store.ended || !there(store.flow)) {
    const again = store.ended && told.flows.find((flow) => flow.name === store.ended.name);
    const next = again ?? (store.flow ? null : firstChoice(told.flows));
    if (next) choose(next.id);
    else if (store.flow && !store.ended && !there(store.flow)) takeEnd({ flow: store.flow, why: "" });
  }
  changed();
}

function firstChoice(flows) {
  const named = new URLSearchParams(location.hash.slice(1)).get("flow") ?? store.preferred;
  return flows.find((flow) => flow.id === named) ?? flows[flows.length - 1];
}

function takeState(told) {
  if (told.flow !== store.flow) return;
  store.state = told;
  store.ended = null;
  store.late = "";
  remember(told);
  const gone = store.selected && !item(store.selected);
  if (gone) store.selected = null;
  changed();
}

function takeEnd(told) {
  if (told.flow !== store.flow) return;
  const name = store.state?.name ?? store.flows?.find((flow) => flow.id === told.flow)?.name ?? "The dataflow";
  store.ended = { name, why: told.why };
  changed();
}

function takeLate(told) {
  if (told.flow === store.flow) store.late = told.why;
  changed();
}

function takeDone(told) {
  const resolve = waiting.get(told.n);
  waiting.delete(told.n);
  if (resolve) resolve(told);
}

function takeRecorder(told) {
  if (told.flow === store.flow) store.recorder = told;
  changed();
}

// ---- choosing ----

export function choose(flow) {
  if (store.flow !== flow) {
    store.flow = flow;
    store.state = null;
    store.selected = null;
    store.recorder = null;
    store.history.clear();
    store.previews.clear();
    store.logs.lines = [];
  }
  store.ended = null;
  store.late = "";
  location.replace(`#flow=${encodeURIComponent(flow)}`);
  ask();
  changed();
}

export function select(selected) {
  store.selected = selected;
  if (selected) store.view = "details";
  changed();
}

export function show(fields) {
  Object.assign(store, fields);
  changed();
}

export function item(selected) {
  const items = selected.kind === "node" ? store.state?.nodes : store.state?.edges;
  return items?.find((one) => one.id === selected.id) ?? null;
}

// ---- history ----

function remember(state) {
  const now = Date.now() / 1000;
  const add = (key, fields) => {
    let past = store.history.get(key);
    if (!past) store.history.set(key, (past = { t: [] }));
    past.t.push(now);
    for (const [name, value] of Object.entries(fields)) (past[name] ??= []).push(value);
    if (past.t.length > HISTORY) for (const values of Object.values(past)) values.shift();
  };
  for (const edge of state.edges) {
    add(`edge ${edge.id}`, { hz: edge.hz, p50: edge.hz ? edge.p50_ms : null, dropped: edge.dropped_hz });
  }
  for (const node of state.nodes) add(`node ${node.id}`, { cpu: node.cpu, memory: node.memory });
}

// ---- previews ----

export function wantPreview(output, draw) {
  const count = wanted.get(output) ?? 0;
  wanted.set(output, count + 1);
  if (!drawers.has(output)) drawers.set(output, new Set());
  drawers.get(output).add(draw);
  if (!count) say({ t: "peek", output });
  return () => {
    drawers.get(output)?.delete(draw);
    const left = wanted.get(output) - 1;
    if (left) {
      wanted.set(output, left);
      return;
    }
    wanted.delete(output);
    drawers.delete(output);
    store.previews.delete(output);
    say({ t: "unpeek", output });
  };
}

// Look again at an output that was closed.
export function peekAgain(output) {
  say({ t: "unpeek", output });
  say({ t: "peek", output });
}

async function takePreview(told, content) {
  if (told.flow !== store.flow || !wanted.has(told.output)) return;
  const before = store.previews.get(told.output);
  try {
    if (told.kind === "image") {
      told.bitmap = await createImageBitmap(new Blob([content], { type: told.mime }));
      told.width ||= told.bitmap.width;
      told.height ||= told.bitmap.height;
    }
  } catch {
    told.kind = "value";
    told.text = "";
    told.note = "the browser cannot show this picture";
  }
  if (told.kind === "series") told.past = series(before?.past, told);
  told.count = (before?.count ?? 0) + 1;
  if (told.kind === "over") told.last = before?.kind === "over" ? before.last : before;
  store.previews.set(told.output, told);
  for (const draw of drawers.get(told.output) ?? []) draw(told);
  if (told.kind === "over") return;
  requestAnimationFrame(() => {
    say({ t: "shown", output: told.output }); // the next one may come
    before?.bitmap?.close();
  });
}

function series(past, told) {
  if (!past || past.length !== told.values.length + 1) past = [[], ...told.values.map(() => [])];
  past[0].push(told.sent_ms / 1000);
  told.values.forEach((value, at) => past[at + 1].push(value));
  if (past[0].length > SERIES) for (const values of past) values.shift();
  return past;
}

// ---- logs ----

export function filterLogs(filter) {
  Object.assign(store.logs.filter, filter);
  askLogs();
  changed();
}

export function wantLogs(on) {
  if (store.logs.on === on) return;
  store.logs.on = on;
  askLogs();
}

function askLogs() {
  const { filter, on } = store.logs;
  store.logs.n = ++lastNumber;
  store.logs.waiting = true;
  if (store.flow) say({ t: "logs", on, ...filter, n: store.logs.n });
}

function takeLogs(told) {
  const logs = store.logs;
  if (told.flow !== store.flow || told.n !== logs.n) return;
  logs.waiting = false;
  if (told.first) logs.lines = [];
  if (told.left_out) {
    logs.lines.push({ key: ++lastNumber, level: "gap", node: "", text: `${told.left_out} lines left out: more came than can be shown` });
  }
  for (const line of told.lines) logs.lines.push({ key: ++lastNumber, ...line });
  for (const text of told.complaints) logs.lines.push({ key: ++lastNumber, level: "gap", node: "", text });
  if (logs.lines.length > MOST_LINES) logs.lines.splice(0, logs.lines.length - MOST_LINES);
  changed();
}

// ---- doing ----

export function act(action, fields = {}) {
  const n = ++lastNumber;
  return new Promise((resolve) => {
    waiting.set(n, resolve);
    if (!socket || socket.readyState !== WebSocket.OPEN) {
      waiting.delete(n);
      resolve({ ok: false, text: "the server is not there" });
      return;
    }
    say({ t: "do", n, action, ...fields });
  });
}

// Do something and tell how it went.
export async function actAndTell(action, fields = {}) {
  const told = await act(action, fields);
  if (told.text) notice(told.text, told.ok);
  return told;
}

export function notice(text, ok) {
  const one = { key: ++lastNumber, text, ok };
  store.notices.push(one);
  changed();
  setTimeout(() => dismiss(one), ok ? 4000 : 12000);
}

export function dismiss(one) {
  store.notices = store.notices.filter((other) => other !== one);
  changed();
}
