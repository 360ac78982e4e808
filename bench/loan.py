"""Round trip with a loan at both ends: what is left of the cost of size when nothing is copied.

Runs under the interpreter that has dora installed; compares each size with a plain 4 KB round trip
of the same run.

    python bench/loan.py [ROUNDS]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

NODES = Path(__file__).resolve().parent / "loan_nodes"
SIZES = (4096, 65536, 921600, 6220800, 24883200)

FLOW = """nodes:
  - id: ping
    path: {nodes}/ping.py
    inputs: {{pong: pong/pong}}
    outputs: [ping]
    env: {{BENCH_OUT: "{out}", SIZES: "{sizes}", ROUNDS: "{rounds}"}}
  - id: pong
    path: {nodes}/pong.py
    inputs: {{ping: ping/ping}}
    outputs: [pong]
    env: {{ROUNDS: "{rounds}"}}
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as folder:
        out, flow = Path(folder) / "out.json", Path(folder) / "dataflow.yml"
        sizes = ",".join(map(str, SIZES))
        flow.write_text(FLOW.format(nodes=NODES, out=out, sizes=sizes, rounds=rounds))
        dora = Path(sys.executable).with_name("dora")
        subprocess.run([dora, "run", flow], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        rows = json.loads(out.read_text())
    Path(__file__).with_name("loan.json").write_text(json.dumps(rows))
    plain = rows.pop("plain")["p50_us"]
    print(f"\n== round trip with a loan at both ends; a plain 4 KB one takes {plain:.1f} us ==")
    print(f"{'bytes':>10} {'p50 us':>10} {'p99 us':>10} {'p50 / plain':>12}")
    for size, row in rows.items():
        ratio = row["p50_us"] / plain
        print(f"{size:>10} {row['p50_us']:>10.1f} {row['p99_us']:>10.1f} {ratio:>12.2f}")


if __name__ == "__main__":
    main()
