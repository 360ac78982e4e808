// The page: a bar on top, the graph, details beside it, tables and logs below.

import { html, render, useEffect, useState } from "./vendor/htm-preact.js";
import { Button, Details } from "./details.js";
import { bytes, duration, number, plural } from "./format.js";
import { Graph } from "./graph.js";
import { Logs } from "./logs.js";
import { actAndTell, choose, connect, dismiss, onChange, select, show, store } from "./store.js";
import { Edges, Nodes } from "./tables.js";

const DRAWERS = [["nodes", "Nodes"], ["edges", "Edges"], ["logs", "Logs"]];
const VIEWS = [["graph", "Graph"], ["details", "Details"], ...DRAWERS];

function App() {
  const [, again] = useState(0);
  useEffect(() => onChange(() => again((n) => n + 1)), []);
  useEffect(() => {
    const key = (event) => {
      if (event.key === "Escape" && store.selected) select(null);
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
  const { state, view } = store;
  useEffect(() => {
    document.title = state ? `${state.name} – dora` : "dora";
  }, [state?.name]);
  return html`
    <${Bar} />
    <${Banner} />
    ${state ? html`<${Body} state=${state} view=${view} />` : html`<${Empty} />`}
    <div class="notices" role="status" aria-live="polite">
      ${store.notices.map((one) => html`
        <p key=${one.key} class=${one.ok ? "notice" : "notice bad"}><span>${one.text}</span>
          <button class="icon" aria-label="Dismiss" onClick=${() => dismiss(one)}>×</button></p>`)}
    </div>`;
}

function Body({ state, view }) {
  const { selected, drawer } = store;
  return html`
    <main data-view=${view} class=${store.connection === "open" && !store.ended ? "" : "stale"}>
      <${Graph} state=${state} selected=${selected} />
      <${Details} state=${state} selected=${selected} />
      <section class="drawer" aria-label="Tables and logs">
        <div class="tabs" role="tablist">
          ${DRAWERS.map(([key, word]) => html`
            <button key=${key} role="tab" aria-selected=${drawer === key} onClick=${() => show({ drawer: key })}>${word}
              ${key !== "logs" && html`<span class="count">${state[key].length}</span>`}</button>`)}
        </div>
        <div class="panel" role="tabpanel">
          ${drawer === "nodes" && html`<${Nodes} state=${state} selected=${selected} />`}
          ${drawer === "edges" && html`<${Edges} state=${state} selected=${selected} />`}
          ${drawer === "logs" && html`<${Logs} state=${state} />`}
        </div>
      </section>
    </main>
    <nav class="views" aria-label="Views">
      ${VIEWS.map(([key, word]) => {
        const here = view === key;
        const go = () => show({ view: key, ...(DRAWERS.some(([name]) => name === key) && { drawer: key }) });
        return html`<button key=${key} aria-current=${here ? "page" : "false"} onClick=${go}>${word}</button>`;
      })}
    </nav>`;
}

function Bar() {
  const { flows, flow, state, ended, connection } = store;
  const listed = flows ?? [];
  const missing = flow && !listed.some((one) => one.id === flow);
  const running = connection === "open" && state && !ended;
  return html`
    <header class="bar">
      <h1><img src="/static/icon.svg" alt="" width="24" height="24" /><span>dora</span></h1>
      ${(listed.length > 0 || flow) && html`
        <label class="chooser"><span class="hidden">Dataflow</span>
          <select value=${flow ?? ""} onChange=${(e) => choose(e.target.value)}>
            ${missing && html`<option value=${flow}>${state?.name ?? flow} (ended)</option>`}
            ${listed.map((one) => html`<option key=${one.id} value=${one.id}>${named(one, listed)}</option>`)}
          </select></label>`}
      <p class="phase">
        ${running && state.phase === "running" && html`<${Chip} look="running" sign="●" word="running" />`}
        ${running && state.phase !== "running" && html`<${Chip} look="starting" sign="◔" word=${state.phase} />`}
        ${ended && html`<${Chip} look="stopped" sign="■" word="ended" />`}
        ${connection === "lost" && html`<${Chip} look="failed" sign="✕" word="no connection" />`}
      </p>
      <span class="space"></span>
      ${store.readOnly && html`<span class="chip stopped" title="The server was started with --read-only">looking only</span>`}
      ${running && !store.readOnly && html`
        <${Recorder} />
        <${Button} act=${() => actAndTell("stop_flow")} busy="Stopping…" sure="Stop all nodes?" look="danger">Stop<//>`}
    </header>`;
}

function Chip({ look, sign, word }) {
  return html`<span class=${`chip ${look}`}><span aria-hidden="true">${sign}</span><span class="word"> ${word}</span></span>`;
}

// Two of one name are told apart by when they were started.
function named(flow, all) {
  if (all.filter((one) => one.name === flow.name).length < 2) return flow.name;
  return `${flow.name} (${new Date(flow.started_ms).toLocaleTimeString()})`;
}

function Recorder() {
  const { recorder } = store;
  if (recorder?.running) {
    const told = [duration(recorder.seconds), recorder.messages !== null && `${number(recorder.messages)} messages`, recorder.bytes !== null && bytes(recorder.bytes)];
    return html`
      <span class="recording" title=${recorder.file}><span class="sign failed" aria-hidden="true">●</span> Recording <span class="figure">${told.filter(Boolean).join(" · ")}</span></span>
      <${Button} act=${() => actAndTell("record_stop")} busy="Writing…">Stop recording<//>`;
  }
  return html`<${Button} act=${() => actAndTell("record_start")} busy="Starting…"><span class="sign failed" aria-hidden="true">●</span> Record<//>`;
}

function Banner() {
  const { ended, connection, flows, flow, state } = store;
  if (connection === "lost") {
    return html`<p class="banner bad" role="alert">The server does not answer${state ? "; this is how things were" : ""}. Trying again…</p>`;
  }
  if (store.late && !ended) return html`<p class="banner bad" role="alert">No news of it: ${store.late}. Trying again…</p>`;
  if (!ended || !state) return null;
  const others = (flows ?? []).filter((one) => one.id !== flow);
  return html`
    <p class="banner" role="status"><b>${ended.name} has ended.</b> ${ended.why && `${ended.why}. `}
      ${others.length ? "Others run: " : "Start another with "}
      ${others.length ? others.slice(0, 5).map((one) => html`<button key=${one.id} onClick=${() => choose(one.id)}>${named(one, others)}</button>`) : html`<code>dora run dataflow.yml</code>`}
    </p>`;
}

function Empty() {
  const { connection, flows, flow } = store;
  if (connection !== "open" || flows === null || (flow && !store.ended)) return html`<div class="empty-page"><p>${connection === "lost" ? "" : "Looking…"}</p></div>`;
  if (flows.length) {
    return html`<div class="empty-page"><h2>Choose a dataflow</h2><p>${plural(flows.length, "dataflow")} running.</p>
      ${flows.map((one) => html`<p key=${one.id}><button onClick=${() => choose(one.id)}>${named(one, flows)}</button></p>`)}</div>`;
  }
  return html`
    <div class="empty-page">
      <h2>No dataflow is running</h2>
      <p>Start one, and it appears here by itself:</p>
      <pre><code>dora run dataflow.yml</code></pre>
    </div>`;
}

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
connect();
