from dora import Node

with Node() as node:
    sync = node.sync(["camera", "lidar"], tolerance_s=0.02, key="stamp")
    for group in sync:
        camera, lidar = (group[name]["value"][0].as_py() for name in ("camera", "lidar"))
        print(f"image {camera} with scan {lidar}, {group.spread_s * 1000:.0f} ms apart")
    print("without a partner:", sync.unmatched)
