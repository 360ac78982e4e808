// What an output sends, as people see it: picture, plot, level, table, text, first values.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { number, plural } from "./format.js";
import { Plot } from "./plot.js";
import { peekAgain, wantPreview } from "./store.js";

const AGAIN_MS = 1000;

// Looks at an output for as long as it is on the page.
export function Preview({ output, alive }) {
  const [told, setTold] = useState(null);

  useEffect(() => {
    setTold(null);
    return wantPreview(output, setTold);
  }, [output]);

  // What is over may come back: the node runs again, or another daemon has taken over.
  useEffect(() => {
    if (!alive || told?.kind !== "over") return undefined;
    const again = setTimeout(() => peekAgain(output), AGAIN_MS);
    return () => clearTimeout(again);
  }, [alive, told]);

  if (!told) return html`<div class="preview waiting"><p>Waiting for a message…</p></div>`;
  const shown = told.kind === "over" ? told.last : told;
  return html`
    <div class="preview">
      ${told.kind === "over" && html`<p class="over" role="status">${told.text}</p>`}
      ${shown && html`<${Shown} told=${shown} output=${output} />`}
      ${shown && html`<p class="facts">${facts(shown)}</p>`}
    </div>`;
}

function Shown({ told, output }) {
  const draw = KINDS[told.kind] ?? Value;
  return html`<${draw} told=${told} output=${output} />`;
}

function facts(told) {
  const size = told.kind === "image" ? `${told.width} × ${told.height}` : "";
  const said = Object.entries(told.metadata ?? {}).map(([key, value]) => `${key}: ${value}`);
  return [told.type, size, ...said].filter(Boolean).join(" · ");
}

function Picture({ told, output }) {
  const canvas = useRef(null);
  useEffect(() => {
    const { bitmap } = told;
    const { current } = canvas;
    if (!current || !bitmap?.width) return; // it was replaced by a newer one
    if (current.width !== bitmap.width || current.height !== bitmap.height) {
      current.width = bitmap.width;
      current.height = bitmap.height;
    }
    current.getContext("2d").drawImage(bitmap, 0, 0);
  }, [told]);
  const small = told.width * told.height <= 4096;
  return html`
    <canvas class=${small ? "picture sharp" : "picture"} ref=${canvas} role="img"
      aria-label=${`Image of ${output}, ${told.width} by ${told.height}`}></canvas>`;
}

function Series({ told, output }) {
  const labels = told.values.map((_, at) => `[${at}]`);
  return html`
    <div class="now">
      ${told.values.map((value, at) => html`
        <span key=${at} class=${`series-${at + 1}`}>${told.values.length > 1 && html`<i>${at}</i>`}${number(value, 4)}</span>`)}
    </div>
    <${Plot} data=${told.past} labels=${labels} unit=${(v) => number(v)} label=${`${output} over time`} />`;
}

function Curve({ told, output }) {
  const data = [told.points.map((_, at) => at * told.step), told.points];
  return html`
    <${Plot} data=${data} time=${false} unit=${(v) => number(v)} label=${`${output}, its ${told.size} numbers`} />
    <p class="quiet">${plural(told.size, "number")}, by index</p>`;
}

function Audio({ told, output }) {
  const data = [told.points.map((_, at) => at * told.step), told.points];
  return html`
    <div class="level">
      <${Meter} name="Level" db=${told.rms_db} />
      <${Meter} name="Peak" db=${told.peak_db} />
    </div>
    <${Plot} data=${data} time=${false} height=${110} unit=${(v) => number(v)} label=${`Wave of ${output}`} />
    <p class="quiet">${plural(told.samples, "sample")}${told.sample_rate ? `, ${number(told.sample_rate / 1000)} kHz` : ""}</p>`;
}

function Meter({ name, db }) {
  const share = Math.max(0, Math.min(1, (db + 60) / 60));
  const look = db > -1 ? "failed" : db > -9 ? "restarting" : "running";
  return html`
    <div class="meter">
      <span>${name}</span>
      <div class="bar" role="meter" aria-label=${name} aria-valuemin="-60" aria-valuemax="0" aria-valuenow=${db}>
        <div class=${look} style=${{ width: `${share * 100}%` }}></div>
      </div>
      <span class="figure">${db <= -119 ? "silent" : `${db.toFixed(1)} dB`}</span>
    </div>`;
}

function Table({ told }) {
  const left = told.total !== null ? told.total - told.rows.length : 0;
  return html`
    <div class="scrolling" tabindex="0">
      <table class="values">
        <thead><tr>${told.columns.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
        <tbody>
          ${told.rows.map((row, at) => html`<tr key=${at}>${row.map((cell, column) => html`<td key=${column}>${shownCell(cell)}</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>
    ${left > 0 && html`<p class="quiet">${left} more rows</p>`}`;
}

function shownCell(cell) {
  if (cell === null || cell === undefined) return "–";
  if (typeof cell === "number" && !Number.isInteger(cell)) return String(Number(cell.toPrecision(6)));
  return String(cell);
}

function Text({ told }) {
  return html`<pre class="text" tabindex="0">${told.text}</pre>`;
}

function Value({ told }) {
  return html`
    ${told.text && html`<pre class="text" tabindex="0">${told.text}</pre>`}
    ${told.note && html`<p class="over">${told.note}</p>`}`;
}

const KINDS = { image: Picture, series: Series, curve: Curve, audio: Audio, table: Table, text: Text, value: Value };
