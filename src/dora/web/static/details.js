// The side panel: what was chosen, a node or an edge; else the whole dataflow.

import { html, useEffect, useState } from "./vendor/htm-preact.js";
import { bytes, duration, hz, ms, number, percent, plural, source, stateOf, TROUBLES } from "./format.js";
import { Plot } from "./plot.js";
import { Preview } from "./preview.js";
import { act, actAndTell, filterLogs, item, notice, select, show, store } from "./store.js";

export function Details({ state, selected }) {
  const found = selected && item(selected);
  return html`
    <section class="details" aria-label="Details">
      ${!found && html`<${Overview} state=${state} />`}
      ${found && selected.kind === "node" && html`<${Node} key=${found.id} node=${found} state=${state} />`}
      ${found && selected.kind === "edge" && html`<${Edge} key=${found.id} edge=${found} state=${state} />`}
    </section>`;
}

function Head({ kind, name, children }) {
  return html`
    <header class="head">
      <p class="kind">${kind}</p>
      <h2>${name}</h2>
      <button class="icon close" aria-label="Close details" title="Close (Esc)" onClick=${() => select(null)}>×</button>
      ${children}
    </header>`;
}

function Facts({ rows }) {
  return html`<dl class="grid">${rows.map(([name, value, title]) => html`<div key=${name}><dt>${name}</dt><dd title=${title}>${value}</dd></div>`)}</dl>`;
}

// ---- the whole ----

function Overview({ state }) {
  const sum = (items, key) => items.reduce((total, one) => total + (one[key] ?? 0), 0);
  const { nodes, edges, outputs } = state;
  const failed = nodes.filter((node) => ["failed", "restarting"].includes(stateOf(node).look));
  const troubled = edges.filter((edge) => edge.trouble);
  return html`
    <header class="head">
      <p class="kind">Dataflow</p>
      <h2>${state.name}</h2>
    </header>
    <${Facts} rows=${[
      ["Running", `${nodes.filter((node) => node.status === "Running").length} of ${nodes.length}`],
      ["Messages", hz(sum(outputs, "hz"))],
      ["Data", `${bytes(sum(outputs, "bytes_s"))}/s`],
      ["CPU", percent(sum(nodes, "cpu")), "100 % is one core"],
      ["Memory", bytes(sum(nodes, "memory"))],
      ["Runs for", duration((Date.now() - state.started_ms) / 1000)],
    ]} />
    <h3>Needs attention</h3>
    ${!failed.length && !troubled.length && html`<p class="calm"><span class="sign running" aria-hidden="true">✓</span> Nothing: no node failed, no message is lost or late.</p>`}
    <ul class="attention">
      ${failed.map((node) => html`
        <li key=${node.id}><button class="row" onClick=${() => select({ kind: "node", id: node.id })}>
          <${Sign} node=${node} /><b>${node.id}</b><span>${stateOf(node).word}</span></button></li>`)}
      ${troubled.map((edge) => html`
        <li key=${edge.id}><button class="row" onClick=${() => select({ kind: "edge", id: edge.id })}>
          <span class=${`sign trouble-${edge.trouble}`} aria-hidden="true">${TROUBLES[edge.trouble].sign}</span>
          <b>${edge.from}/${edge.output} → ${edge.to}</b><span>${troubleText(edge)}</span></button></li>`)}
    </ul>
    <p class="quiet hint">Choose a node or an edge in the graph to see what it does and what it sends.</p>
    ${state.file && html`<p class="quiet path" title=${state.file}>${state.file}</p>`}`;
}

export function troubleText(edge) {
  if (edge.trouble === "drops") return `${hz(edge.dropped_hz)} lost`;
  if (edge.trouble === "slow") return `${ms(edge.p50_ms)} late`;
  return TROUBLES[edge.trouble].word;
}

export function Sign({ node }) {
  const { sign, look } = stateOf(node);
  return html`<span class=${`sign ${look}`} aria-hidden="true">${sign}</span>`;
}

// ---- a node ----

function Node({ node, state }) {
  const { word, look } = stateOf(node);
  const past = store.history.get(`node ${node.id}`);
  const outputs = node.outputs.map((id) => state.outputs.find((one) => one.node === node.id && one.output === id) ?? { output: id });
  const alive = look === "running";
  return html`
    <${Head} kind="Node" name=${node.id}>
      <p class=${`chip ${look}`}><${Sign} node=${node} /> ${word}</p>
      <${NodeActions} node=${node} />
    <//>
    <${Facts} rows=${[
      ["PID", node.pid ?? "–"],
      ["CPU", percent(node.cpu), "100 % is one core"],
      ["Memory", bytes(node.memory)],
      ["Runs for", duration(node.uptime_s)],
      ["Restarts", `${node.restarts}${node.max_restarts ? ` of ${node.max_restarts}` : ""} (${node.policy})`, "Restart policy in parentheses"],
      ["Waiting", plural(node.pending, "message"), "In the queues of its inputs"],
    ]} />
    ${past && past.t.length > 1 && html`<${Spark} name="CPU, percent" past=${past} of="cpu" />`}
    <h3>Outputs</h3>
    ${!outputs.length && html`<p class="quiet">None</p>`}
    ${outputs.map((one, at) => html`<${Output} key=${one.output} node=${node} one=${one} alive=${alive} open=${at === 0} />`)}
    <h3>Inputs</h3>
    ${!node.inputs.length && html`<p class="quiet">None</p>`}
    <ul class="ports">
      ${node.inputs.map((input) => html`<${Input} key=${input.id} input=${input} edge=${state.edges.find((edge) => edge.to === node.id && edge.input === input.id)} />`)}
    </ul>
    <h3>Parameters</h3>
    <${Params} node=${node.id} />
    <h3>Program</h3>
    <p class="quiet path">${node.command.join(" ") || node.path || "started by somebody else"}</p>`;
}

function NodeActions({ node }) {
  const over = ["failed", "stopped"].includes(stateOf(node).look);
  const ask = (action) => () => actAndTell(action, { node: node.id });
  return html`
    <div class="actions">
      ${!store.readOnly && over && html`<${Button} key="start" act=${ask("start")} busy="Starting…">Start<//>`}
      ${!store.readOnly && !over && html`
        <${Button} key="restart" act=${ask("restart")} busy="Restarting…">Restart<//>
        <${Button} key="stop" act=${ask("stop")} busy="Stopping…" sure="Really stop it?" look="danger">Stop<//>`}
      <button key="logs" onClick=${() => showLogs(node.id)}>Logs</button>
    </div>`;
}

function showLogs(node) {
  filterLogs({ node, level: "stdout", text: "" });
  show({ drawer: "logs", view: "logs" });
}

// A button that waits for what it does, and asks first where it has `sure`.
export function Button({ act, busy, sure, look = "", children, disabled = false }) {
  const [at, setAt] = useState("idle");
  useEffect(() => {
    if (at !== "asking") return undefined;
    const timer = setTimeout(() => setAt("idle"), 5000);
    return () => clearTimeout(timer);
  }, [at]);
  const click = async () => {
    if (sure && at !== "asking") {
      setAt("asking");
      return;
    }
    setAt("busy");
    await act();
    setAt("idle");
  };
  const text = at === "busy" ? busy : at === "asking" ? sure : children;
  return html`<button class=${`${look} ${at}`} disabled=${disabled || at === "busy"} onClick=${click}>${text}</button>`;
}

function Output({ node, one, alive, open }) {
  const [shown, setShown] = useState(open);
  const name = `${node.id}/${one.output}`;
  return html`
    <div class="output">
      <button class="row" aria-expanded=${shown} onClick=${() => setShown(!shown)}>
        <span class="turn" aria-hidden="true">${shown ? "▾" : "▸"}</span><b>${one.output}</b>
        <span class="figure">${hz(one.hz)}</span><span class="figure">${one.bytes_s === undefined ? "–" : `${bytes(one.bytes_s)}/s`}</span>
      </button>
      ${shown && html`<${Preview} output=${name} alive=${alive} />`}
    </div>`;
}

function Input({ input, edge }) {
  if (!edge) return html`<li><div class="row still"><b>${input.id}</b><span class="from">${source(input.source)}</span></div></li>`;
  return html`
    <li><button class="row" onClick=${() => select({ kind: "edge", id: edge.id })}>
      <b>${input.id}</b><span class="from">← ${edge.from}/${edge.output}</span>
      <span class="figure">${edge.open ? hz(edge.hz) : "closed"}</span>
      ${edge.trouble && html`<span class=${`tag trouble-${edge.trouble}`}>${TROUBLES[edge.trouble].sign} ${troubleText(edge)}</span>`}
    </button></li>`;
}

function Params({ node }) {
  const [params, setParams] = useState(null);
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  const take = (told) => {
    if (told.ok) setParams(told.params);
    else notice(told.text, false);
    return told.ok;
  };
  useEffect(() => {
    act("params", { node }).then((told) => setParams(told.ok ? told.params : {}));
  }, [node]);
  const add = async (event) => {
    event.preventDefault();
    if (take(await act("param_set", { node, key, value }))) {
      setKey("");
      setValue("");
    }
  };
  if (params === null) return html`<p class="quiet">Asking…</p>`;
  return html`
    ${!Object.keys(params).length && html`<p class="quiet">None set</p>`}
    <ul class="params">
      ${Object.entries(params).map(([name, json]) => html`<${Param} key=${name} node=${node} name=${name} json=${json} take=${take} />`)}
    </ul>
    ${!store.readOnly && html`
      <form class="param new" onSubmit=${add}>
        <input aria-label="New parameter" placeholder="name" value=${key} required onInput=${(e) => setKey(e.target.value)} />
        <input aria-label="Its value" placeholder="value: 60, true, text, [1, 2]" value=${value} required onInput=${(e) => setValue(e.target.value)} />
        <button>Set</button>
      </form>`}`;
}

function Param({ node, name, json, take }) {
  const [value, setValue] = useState(json);
  useEffect(() => setValue(json), [json]);
  const set = async (event) => {
    event.preventDefault();
    take(await act("param_set", { node, key: name, value }));
  };
  return html`
    <li><form class="param" onSubmit=${set}>
      <label><span>${name}</span><input value=${value} readonly=${store.readOnly} onInput=${(e) => setValue(e.target.value)} /></label>
      ${value !== json && html`<button>Set</button>`}
      ${!store.readOnly && value === json && html`<button type="button" aria-label=${`Delete ${name}`} title="Delete" onClick=${async () => take(await act("param_delete", { node, key: name }))}>×</button>`}
    </form></li>`;
}

// ---- an edge ----

function Edge({ edge, state }) {
  const past = store.history.get(`edge ${edge.id}`);
  const sender = state.nodes.find((node) => node.id === edge.from);
  const trouble = TROUBLES[edge.trouble];
  return html`
    <${Head} kind="Edge" name=${`${edge.from}/${edge.output}`}>
      <p class="to">→ ${edge.to}/${edge.input}</p>
      ${!edge.open && html`<p class="chip stopped">◌ closed</p>`}
      ${edge.open && !trouble && html`<p class="chip running">● flowing</p>`}
      ${trouble && html`<p class=${`chip trouble-${edge.trouble}`}>${trouble.sign} ${trouble.word}</p>`}
    <//>
    ${edge.trouble === "drops" && html`<p class="hint">The receiver is slower than the sender: when its queue of ${edge.queue_size} is full, the oldest message goes.</p>`}
    <${Facts} rows=${[
      ["Received", hz(edge.hz)],
      ["Sent", hz(edge.sent_hz)],
      ["Data", edge.bytes_s === null ? "–" : `${bytes(edge.bytes_s)}/s`],
      ["Delay, median", ms(edge.p50_ms), "From send to receive"],
      ["Delay, 99 %", ms(edge.p99_ms)],
      ["Lost", `${number(edge.dropped)}${edge.dropped_hz ? ` (${hz(edge.dropped_hz)})` : ""}`],
      ["Queue", `${edge.queue} of ${edge.queue_size}`],
      ["When full", edge.backpressure ? "sender waits" : "drop oldest", edge.backpressure ? "backpressure" : "drop_oldest"],
      ["Total", number(edge.received)],
    ]} />
    ${past && past.t.length > 1 && html`
      <${Spark} name="Messages a second" past=${past} of="hz" />
      <${Spark} name="Delay, median, ms" past=${past} of="p50" />
      ${edge.dropped > 0 && html`<${Spark} name="Lost a second" past=${past} of="dropped" />`}`}
    <h3>What it carries</h3>
    <${Preview} output=${`${edge.from}/${edge.output}`} alive=${sender && stateOf(sender).look === "running"} />
    <p class="links">
      <button class="link" onClick=${() => select({ kind: "node", id: edge.from })}>Sender: ${edge.from}</button>
      <button class="link" onClick=${() => select({ kind: "node", id: edge.to })}>Receiver: ${edge.to}</button>
    </p>`;
}

function Spark({ name, past, of }) {
  const values = past[of];
  const now = values[values.length - 1];
  return html`
    <figure class="spark">
      <figcaption><span>${name}</span><span class="figure">${number(now)}</span></figcaption>
      <${Plot} data=${[past.t, values]} small=${true} height=${44} label=${`${name}, the last two minutes; now ${number(now)}`} />
    </figure>`;
}

