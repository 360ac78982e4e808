// Log lines, filtered by the server, so that a rare line is found in a flood.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { clock } from "./format.js";
import { filterLogs, select, store, wantLogs } from "./store.js";

const LEVELS = [
  ["stdout", "All lines"],
  ["trace", "trace and up"],
  ["debug", "debug and up"],
  ["info", "info and up"],
  ["warn", "warnings and errors"],
  ["error", "errors"],
];

export function Logs({ state }) {
  const { lines, filter, waiting } = store.logs;
  const box = useRef(null);
  const [follow, setFollow] = useState(true);
  const [text, setText] = useState(filter.text);

  useEffect(() => {
    wantLogs(true);
    return () => wantLogs(false);
  }, []);

  useEffect(() => {
    if (text === filter.text) return undefined;
    const timer = setTimeout(() => filterLogs({ text }), 250);
    return () => clearTimeout(timer);
  }, [text]);

  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines.length && lines[lines.length - 1].key, follow]);

  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    setFollow(scrollHeight - scrollTop - clientHeight < 24);
  };
  return html`
    <div class="logs">
      <form class="filters" onSubmit=${(e) => e.preventDefault()}>
        <select aria-label="Node" value=${filter.node ?? ""} onChange=${(e) => filterLogs({ node: e.target.value || null })}>
          <option value="">All nodes</option>
          ${state.nodes.map((node) => html`<option key=${node.id} value=${node.id}>${node.id}</option>`)}
          <option value="dora">dora itself</option>
        </select>
        <select aria-label="Level" value=${filter.level} onChange=${(e) => filterLogs({ level: e.target.value })}>
          ${LEVELS.map(([level, word]) => html`<option key=${level} value=${level}>${word}</option>`)}
        </select>
        <input type="search" aria-label="Text" placeholder="Text" value=${text} onInput=${(e) => setText(e.target.value)} />
      </form>
      <div class="lines" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-label="Log lines">
        ${!lines.length && html`<p class="quiet empty">${waiting ? "Reading…" : filter.text || filter.node || filter.level !== "stdout" ? "No line fits the filter" : "Nothing was printed yet"}</p>`}
        ${lines.map((line) => html`<${Line} key=${line.key} line=${line} />`)}
      </div>
      ${!follow && html`<button class="newest" onClick=${() => setFollow(true)}>↓ Newest</button>`}
    </div>`;
}

function Line({ line }) {
  if (line.level === "gap") return html`<p class="line gap">${line.text}</p>`;
  const fields = line.fields && Object.entries(line.fields).map(([key, value]) => `${key}=${value}`).join(" ");
  return html`
    <p class=${`line level-${line.level}`}>
      <time>${clock(line.ms)}</time>
      <span class="level">${line.level === "stdout" ? "" : line.level}</span>
      <button class="link node" onClick=${() => select({ kind: "node", id: line.node })} disabled=${line.node === "dora"}>${line.node}</button>
      <span class="text">${line.text}${fields && html`<span class="fields"> ${fields}</span>`}</span>
    </p>`;
}
