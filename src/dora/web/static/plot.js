// Curves, drawn by uPlot; colours follow the page.

import { html, useEffect, useRef } from "./vendor/htm-preact.js";

/* global uPlot */

const SERIES = ["series-1", "series-2", "series-3", "series-4", "series-5", "series-6", "series-7", "series-8"];

// One plot. `data` as uPlot has it: x, then each series.
//   labels: of the series.  time: whether x is seconds since the epoch.  small: no axes.
export function Plot({ data, labels, time = true, small = false, height = 140, unit = (v) => String(v), label }) {
  const box = useRef(null);
  const plot = useRef(null);
  const seriesCount = data.length - 1;

  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(box.current, seriesCount, { labels, time, small, height, unit }), data, box.current);
    };
    make();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    const sized = new ResizeObserver(() => {
      const width = box.current?.clientWidth;
      if (width && Math.abs(width - plot.current.width) > 1) plot.current.setSize({ width, height });
    });
    sized.observe(box.current);
    return () => {
      dark.removeEventListener("change", make);
      sized.disconnect();
      plot.current.destroy();
    };
  }, [seriesCount, time, small, height, labels?.join()]);

  useEffect(() => {
    if (plot.current && data.length === plot.current.series.length) plot.current.setData(data);
  });

  return html`<div class="plot" ref=${box} role="img" aria-label=${label} style=${{ height: `${height}px` }}></div>`;
}

function options(box, count, { labels, time, small, height, unit }) {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: colour("muted"),
    grid: { stroke: colour("quiet-line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: box.clientWidth || 300,
    height,
    padding: small ? [3, 0, 3, 0] : [8, 10, 0, 0],
    cursor: { show: false },
    legend: { show: false },
    scales: { x: time ? { time, range: span } : { time }, y: { range: range(small) } },
    axes: [
      { ...axis, show: !small, size: 24, grid: { show: false }, values: time ? (_, ticks) => ticks.map(clock) : undefined },
      { ...axis, show: !small, size: 52, values: (_, ticks) => ticks.map(unit) },
    ],
    series: [
      {},
      ...Array.from({ length: count }, (_, at) => ({
        label: labels?.[at] ?? String(at),
        stroke: colour(SERIES[at % SERIES.length]),
        width: 1.5,
        points: { show: false },
        spanGaps: false,
        fill: small ? `${colour(SERIES[at % SERIES.length])}22` : undefined,
      })),
    ],
  };
}

// Of time, ten seconds at least.
function span(_, first, last) {
  return first === null ? [0, 10] : [Math.min(first, last - 10), last];
}

function range(small) {
  return (_, low, high) => {
    if (low === null || high === null) return [0, 1];
    if (small) return [0, high > 0 ? high * 1.15 : 1];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - room, high + room];
  };
}

function clock(seconds) {
  const at = new Date(seconds * 1000);
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map((n) => String(n).padStart(2, "0")).join(":");
}
