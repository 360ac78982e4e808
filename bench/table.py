"""Prints what the last `make bench` measured as a Markdown table: ours, dora-rs, their ratio.

python bench/table.py
"""

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
OURS, RIVAL = "dora-py", "dora-rs"


def main() -> None:
    results = json.loads((HERE / "results.json").read_text())
    print(f"| workload | {OURS} | {RIVAL} | ratio | wanted |\n|---|---:|---:|---:|---:|")
    sized = (
        ("roundtrip", "round trip", "p50_us", "us"),
        ("paced", "paced, one way", "p50_us", "us"),
        ("burst", "burst", "msg_s", "messages/s"),
        ("fanout", "fan-out to 4, one way", "p50_us", "us"),
        ("timer", "timer error", "p50_us", "us"),
    )
    for kind, title, key, unit in sized:
        rows = results.get(kind, {})
        for size in rows.get(OURS, {}):
            name = title if kind == "timer" else f"{title}, {in_words(int(size))}"
            pair = [rows[impl].get(size, {}).get(key) for impl in (OURS, RIVAL)]
            row(name, pair, unit, WANTED.get((kind, size), ""))
    for kind, title, wanted in (
        ("startup", "start to exit, 2 nodes", "≤ 0.7"),
        ("chain20", "start to exit, 20 nodes in a row", "≤ 0.5"),
    ):
        if kind in results:
            row(title, [results[kind].get(impl) for impl in (OURS, RIVAL)], "s", wanted)
    idle = results.get("idle10", {})
    for key, title, unit, wanted in (
        ("cpu_pct", "10 idle nodes: CPU of one core", "%", "≤ 0.2"),
        ("pss_mb", "10 idle nodes: memory (PSS)", "MB", "≤ 0.8"),
        ("stop_s", "10 idle nodes: Ctrl-C to exit", "s", "≤ 1.5"),
        ("orphans", "10 idle nodes: orphans after it", "", "0"),
    ):
        if idle:
            row(title, [idle[impl].get(key) for impl in (OURS, RIVAL)], unit, wanted)
    if (HERE / "loan.json").exists():
        loan_rows(json.loads((HERE / "loan.json").read_text()))


WANTED = {
    ("roundtrip", "8"): "≤ 0.10",
    ("roundtrip", "4096"): "≤ 0.18",
    ("roundtrip", "65536"): "≤ 0.20",
    ("roundtrip", "921600"): "≤ 0.40",
    ("roundtrip", "6220800"): "≤ 0.15",
    ("roundtrip", "24883200"): "≤ 0.12",
    ("paced", "64"): "≤ 0.35",
    ("burst", "64"): "≥ 6",
    ("fanout", "921600"): "≤ 0.5",
    ("timer", "5"): "≤ 0.4",
}


def loan_rows(rows: dict[str, dict[str, float]]) -> None:
    plain = rows.pop("plain")["p50_us"]
    for size, measured in rows.items():
        ratio = measured["p50_us"] / plain
        name = f"round trip with loans, {in_words(int(size))}"
        print(f"| {name} | {measured['p50_us']:,.0f} us | none | {ratio:.2f} of 4 KB | ≤ 2.5 |")


def row(name: str, pair: list[float | None], unit: str, wanted: str) -> None:
    cells = [in_figures(value, unit) for value in pair]
    ours, rival = pair
    ratio = f"{ours / rival:.2f}" if ours is not None and rival else ""
    print(f"| {name} | {cells[0]} | {cells[1]} | {ratio} | {wanted} |")


def in_figures(value: float | None, unit: str) -> str:
    if value is None:
        return "none"
    digits = 0 if value >= 100 or not unit else 2 if value < 10 else 1
    return f"{value:,.{digits}f} {unit}".strip()


def in_words(size: int) -> str:
    if size >= 100_000:
        return f"{size / 1e6:.1f} MB"
    return f"{size // 1024} KB" if size >= 1024 else f"{size} B"


if __name__ == "__main__":
    main()
