// The same as the graph, as tables: to sort, to filter, for the keyboard and for screen readers.

import { html, useState } from "./vendor/htm-preact.js";
import { bytes, duration, hz, ms, percent, stateOf, TROUBLES } from "./format.js";
import { Sign } from "./details.js";
import { select } from "./store.js";

const SORTED_LAST = -Infinity;

export function Nodes({ state, selected }) {
  const rates = new Map();
  for (const one of state.outputs) rates.set(one.node, (rates.get(one.node) ?? 0) + (one.hz ?? 0));
  const columns = [
    ["Node", (n) => n.id, (n) => html`<${Sign} node=${n} /> ${n.id}`, "text"],
    ["State", (n) => stateOf(n).word, (n) => stateOf(n).word, "text"],
    ["Sends", (n) => rates.get(n.id), (n) => hz(rates.get(n.id) ?? null)],
    ["CPU", (n) => n.cpu, (n) => percent(n.cpu)],
    ["Memory", (n) => n.memory, (n) => bytes(n.memory)],
    ["Waiting", (n) => n.pending, (n) => n.pending],
    ["Restarts", (n) => n.restarts, (n) => n.restarts],
    ["Runs for", (n) => n.uptime_s, (n) => duration(n.uptime_s)],
  ];
  const words = (node) => node.id;
  return html`<${Table} kind="node" items=${state.nodes} columns=${columns} words=${words} selected=${selected} label="Nodes" />`;
}

export function Edges({ state, selected }) {
  const columns = [
    ["From", (e) => `${e.from}/${e.output}`, (e) => `${e.from}/${e.output}`, "text"],
    ["To", (e) => `${e.to}/${e.input}`, (e) => `${e.to}/${e.input}`, "text"],
    ["State", (e) => e.trouble, (e) => edgeState(e), "text"],
    ["Received", (e) => e.hz, (e) => hz(e.hz)],
    ["Data", (e) => e.bytes_s, (e) => (e.bytes_s === null ? "–" : `${bytes(e.bytes_s)}/s`)],
    ["Delay", (e) => e.p50_ms, (e) => ms(e.p50_ms)],
    ["99 %", (e) => e.p99_ms, (e) => ms(e.p99_ms)],
    ["Queue", (e) => e.queue / e.queue_size, (e) => `${e.queue}/${e.queue_size}`],
    ["Lost", (e) => e.dropped, (e) => e.dropped],
  ];
  const words = (edge) => `${edge.from}/${edge.output} ${edge.to}/${edge.input}`;
  return html`<${Table} kind="edge" items=${state.edges} columns=${columns} words=${words} selected=${selected} label="Edges" />`;
}

function edgeState(edge) {
  const trouble = TROUBLES[edge.trouble];
  if (trouble) return html`<span class=${`trouble-${edge.trouble}`}>${trouble.sign} ${trouble.word}</span>`;
  return edge.open ? "flowing" : "closed";
}

function Table({ kind, items, columns, words, selected, label }) {
  const [sort, setSort] = useState({ column: -1, down: false });
  const [filter, setFilter] = useState("");
  let rows = items.filter((one) => words(one).toLowerCase().includes(filter.toLowerCase()));
  if (sort.column >= 0) {
    const value = columns[sort.column][1];
    const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    rows = [...rows].sort((a, b) => order(value(a) ?? SORTED_LAST, value(b) ?? SORTED_LAST) * (sort.down ? -1 : 1));
  }
  const by = (column) =>
    setSort(sort.column === column ? { column: sort.down === startsDown(column) ? column : -1, down: !startsDown(column) } : { column, down: startsDown(column) });
  const startsDown = (column) => columns[column][3] !== "text";
  return html`
    <div class="listing">
      <input class="filter" type="search" placeholder=${`Filter ${label.toLowerCase()}`} aria-label=${`Filter ${label.toLowerCase()}`}
        value=${filter} onInput=${(e) => setFilter(e.target.value)} />
      <div class="scrolling">
        <table>
          <thead><tr>
            ${columns.map(([name, , , look], at) => html`
              <th key=${name} scope="col" class=${look ?? "figure"} aria-sort=${sort.column !== at ? "none" : sort.down ? "descending" : "ascending"}>
                <button onClick=${() => by(at)}>${name}<span aria-hidden="true">${sort.column !== at ? "" : sort.down ? " ↓" : " ↑"}</span></button></th>`)}
          </tr></thead>
          <tbody>
            ${rows.map((one) => html`
              <tr key=${one.id} class=${selected?.kind === kind && selected.id === one.id ? "chosen" : ""} onClick=${() => select({ kind, id: one.id })}>
                ${columns.map(([name, , shown, look], at) => html`
                  <td key=${name} class=${look ?? "figure"}>${at ? shown(one) : html`<button class="link" onClick=${() => select({ kind, id: one.id })}>${shown(one)}</button>`}</td>`)}
              </tr>`)}
          </tbody>
        </table>
        ${!rows.length && html`<p class="quiet empty">${items.length ? "None fits the filter" : "None"}</p>`}
      </div>
    </div>`;
}
