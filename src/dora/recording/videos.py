"""Pictures → MP4 (H.264). The only module that knows PyAV.

Frames keep their own times, so that a video of a camera that stuttered stutters too.
Elsewhere: messages to pictures (`recording.pictures`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from dora.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_TIME_BASE = Fraction(1, 90_000)
_NS = 10**9
_INSTALL = "writing videos needs PyAV: pip install 'dora-py[export]'"
_ENCODER, CODEC_NAME, PIXEL_FORMAT = "libx264", "h264", "yuv420p"


class VideoWriter:
    """Writes one video; `close()` completes the file, twice is fine.

    Args:
        path: The file.
        fps: About how many frames there are in a second; a hint for players.
        keyframe_every: After so many frames one stands by itself, where a player may begin.

    Raises:
        ExportError: PyAV is not installed, or the file cannot be made.
    """

    def __init__(self, path: Path, fps: float, keyframe_every: int = 60) -> None:
        try:
            import av
        except ImportError as exc:
            raise ExportError(_INSTALL) from exc
        self._av: Any = av
        self._path = path
        self._fps = Fraction(fps).limit_denominator(1000)
        self._keyframe_every = keyframe_every
        self._size: tuple[int, int] | None = None
        self._last = -1
        self.frames = 0
        try:
            self._file: Any = av.open(str(path), "w", format="mp4")
        except OSError as exc:
            raise ExportError(f"`{path}` cannot be written: {exc}") from exc

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the video: even, also where the pictures' are not."""
        width, height = self._size or (0, 0)
        return width + width % 2, height + height % 2

    def add(self, image: npt.NDArray[np.uint8], at_ns: int) -> None:
        """Take in a picture, `uint8[h, w, 3]`, to be shown so long after the video's beginning.

        Raises:
            ExportError: it is of another size than those before.
        """
        height, width = image.shape[:2]
        if self._size is None:
            self._size = width, height
            self._begin(*self.size)
        elif self._size != (width, height):
            raise ExportError(
                f"`{self._path}`: a picture of {width} x {height} comes after pictures of "
                f"{self._size[0]} x {self._size[1]}; a video has one size"
            )
        if width % 2 or height % 2:  # the colours of H.264 have half the size
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.time_base = _TIME_BASE
        frame.pts = self._last = max(self._last + 1, round(at_ns * 90_000 / _NS))
        self._file.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Complete the file; one without frames is removed."""
        if self._file is None:
            return
        if self._size is not None:
            self._file.mux(self._stream.encode())
        self._file.close()
        self._file = None
        if self._size is None:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, width: int, height: int) -> None:
        self._stream = self._file.add_stream(_ENCODER, rate=self._fps)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = PIXEL_FORMAT
        self._stream.codec_context.time_base = _TIME_BASE
        self._stream.codec_context.gop_size = self._keyframe_every
        self._stream.options = {"crf": "18", "preset": "veryfast"}
