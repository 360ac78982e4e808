"""Which values are images, and that their pixels come out right, whatever the encoding."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dora.web.images import image_of

RED, GREEN, GREY = (200, 30, 40), (30, 180, 60), 120


def shown(value: Any, metadata: dict[str, Any] | None = None, declared: str = "") -> Any:
    """The pixels that a browser shows; None: it is no image."""
    found = image_of(value, metadata or {}, declared)
    return None if found is None else np.asarray(Image.open(io.BytesIO(found.content)))


def near(pixels: Any, colour: Any) -> bool:
    return bool(np.abs(pixels.astype(int) - np.asarray(colour)).max() <= 6)


def filled(colour: tuple[int, ...], height: int = 90, width: int = 120) -> Any:
    return np.full((height, width, len(colour)), colour, np.uint8)


@pytest.mark.parametrize(
    ("encoding", "pixel"),
    [
        ("rgb8", RED),
        ("RGB8", RED),
        ("bgr8", RED[::-1]),
        ("rgba8", (*RED, 255)),
        ("bgra8", (*RED[::-1], 255)),
    ],
)
@pytest.mark.parametrize("flat", [True, False])
def test_colours_come_out_in_the_right_order(
    encoding: str, pixel: tuple[int, ...], flat: bool
) -> None:
    image = filled(pixel)
    metadata: dict[str, Any] = {"encoding": encoding}
    if flat:
        metadata |= {"width": 120, "height": 90}
        image = pa.array(image.reshape(-1))
    assert near(shown(image, metadata), RED)


def test_an_image_of_numpy_needs_no_metadata() -> None:
    assert near(shown(filled(GREEN)), GREEN)
    assert near(shown(np.full((90, 120), GREY, np.uint8)), GREY)
    assert shown(filled(GREEN, 3, 2)) is None  # a small matrix
    assert near(shown(filled(GREEN, 3, 2), declared="Image[uint8, (H, W, 3)]"), GREEN)


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "32FC1"])
def test_grey_images_and_depths_are_grey(encoding: str) -> None:
    dtype = {"mono8": "u1", "mono16": "u2", "32FC1": "f4"}[encoding]
    ramp = np.linspace(0, 250, 120).astype(dtype)[None, :].repeat(90, axis=0)
    pixels = shown(ramp.reshape(-1), {"encoding": encoding, "width": 120, "height": 90})
    assert pixels.shape == (90, 120)
    assert pixels[0, 0] < 8
    assert pixels[0, -1] > 240


def test_numbers_that_no_picture_has_are_no_trouble() -> None:
    depth = np.full((90, 120), np.nan, np.float32)
    assert shown(depth).shape == (90, 120)
    depth[:, 60:] = np.inf
    depth[:45, :60] = 2.5
    assert shown(depth).shape == (90, 120)


def test_yuv_comes_out_in_its_colours() -> None:
    y, u, v = 110, 90, 200
    wanted = (110 + 1.402 * 72, 110 - 0.344136 * -38 - 0.714136 * 72, 110 + 1.772 * -38)
    planar = np.concatenate([np.full(64 * 64, y), np.full(32 * 32, u), np.full(32 * 32, v)])
    packed = np.tile([y, u, y, v], 64 * 32)
    for encoding, raw in (("yuv420", planar), ("yuyv", packed)):
        metadata = {"encoding": encoding, "width": 64, "height": 64}
        assert near(shown(raw.astype("u1"), metadata), wanted)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_files_of_pictures_are_passed_on_as_they_are(form: str) -> None:
    file = io.BytesIO()
    Image.fromarray(filled(RED)).save(file, form)
    value = pa.array(np.frombuffer(file.getvalue(), np.uint8))
    found = image_of(value, {"encoding": form.lower()})
    assert found is not None
    assert found.content == file.getvalue()
    assert found.mime == f"image/{form.lower()}"


def test_bytes_without_a_word_that_they_are_a_picture_are_none() -> None:
    assert image_of(pa.array(np.frombuffer(b"\xff\xd8\xff" + bytes(100), np.uint8)), {}) is None


def test_an_image_in_a_struct_is_shown() -> None:
    fields = {"width": 120, "height": 90, "encoding": "bgr8", "data": filled(RED[::-1]).tobytes()}
    assert near(shown(pa.array([fields])), RED)
    assert shown(pa.array([{"width": 3, "height": 4}])) is None


def test_large_images_are_made_small_enough_for_a_screen_and_tell_their_own_size() -> None:
    found = image_of(np.zeros((2160, 3840, 3), np.uint8), {})
    assert found is not None
    assert (found.width, found.height) == (3840, 2160)
    assert max(Image.open(io.BytesIO(found.content)).size) == 1280


@pytest.mark.parametrize(
    ("metadata", "part"),
    [
        ({"encoding": "rgb8", "width": 10, "height": 10}, "300 numbers"),
        ({"encoding": "rgb8", "width": -3, "height": -4}, "0 numbers"),
        ({"encoding": "h264", "width": 10, "height": 10}, "`h264`"),
    ],
)
def test_a_value_that_says_it_is_an_image_and_is_none_is_told(
    metadata: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        image_of(np.zeros(77, np.uint8), metadata)


@given(
    st.binary(max_size=300),
    st.sampled_from(["rgb8", "mono16", "yuv420", "yuyv", "32fc1", "jpeg", "?"]),
    st.integers(-2, 20),
    st.integers(-2, 20),
)
def test_whatever_comes_is_an_image_or_is_told_why_not(
    raw: bytes, encoding: str, width: int, height: int
) -> None:
    metadata = {"encoding": encoding, "width": width, "height": height}
    with contextlib.suppress(ValueError):
        found = image_of(np.frombuffer(raw, np.uint8), metadata)
        assert found is None or found.content
