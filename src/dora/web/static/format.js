// Numbers as people read them: three digits, units, and the same width from one second to the next.

export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e6) return `${short(value / 1e6)} M`;
  if (size >= 1e4) return `${short(value / 1e3)} k`;
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(Math.max(0, digits - 2)).replace(/\.0+$/, "");
  return value.toPrecision(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

function short(value) {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

// A rate: whole numbers from ten up.
export function hz(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0/s";
  return value >= 9.95 ? `${number(Math.round(value))}/s` : `${value.toFixed(value < 1 ? 2 : 1)}/s`;
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toPrecision(3)} s`;
  if (value >= 100) return `${value.toFixed(0)} ms`;
  if (value >= 1) return `${value.toPrecision(2)} ms`;
  return `${Math.round(value * 1000)} µs`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= size) return `${(value / size).toPrecision(3)} ${unit}`;
  }
  return `${Math.round(value)} B`;
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} %`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function clock(epochMs) {
  if (!epochMs) return "";
  const at = new Date(epochMs);
  const two = (n) => String(n).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

// `dora/timer/nanos/33000000` as `timer, every 33 ms`.
export function source(text) {
  const found = /^dora\/timer\/(nanos|micros|millis|secs|hz)\/([\d.]+)$/.exec(text);
  if (!found) return text;
  const per = { nanos: 1e-6, micros: 1e-3, millis: 1, secs: 1000 }[found[1]];
  return `timer, every ${ms(per ? found[2] * per : 1000 / found[2])}`;
}

// States of nodes: a sign, a word, and a class, so that none depends on its colour.
export const STATES = {
  Running: { sign: "●", word: "running", look: "running" },
  Starting: { sign: "◔", word: "starting", look: "starting" },
  Restarting: { sign: "↻", word: "restarting", look: "restarting" },
  Stopping: { sign: "◑", word: "stopping", look: "stopping" },
  Closed: { sign: "◌", word: "closed", look: "stopped" },
  Stopped: { sign: "■", word: "finished", look: "stopped" },
  Failed: { sign: "✕", word: "failed", look: "failed" },
  Absent: { sign: "○", word: "not there yet", look: "absent" },
};

export function stateOf(node) {
  return STATES[node.status] ?? { sign: "?", word: node.status.toLowerCase(), look: "stopped" };
}

export const TROUBLES = {
  drops: { sign: "▼", word: "losing messages" },
  slow: { sign: "◷", word: "slow" },
  silent: { sign: "∅", word: "silent" },
};
