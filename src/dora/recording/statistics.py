"""Statistics of a data set, as LeRobot keeps them: min, max, mean, std, count, five quantiles.

Quantiles are exact up to a million numbers a column, and of a fair sample beyond that. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_MOST_KEPT = 1_000_000


class Statistics:
    """Of one feature in one episode."""

    def __init__(self) -> None:
        self._parts: list[npt.NDArray[np.float64]] = []
        self._kept = 0
        self._calls = 0

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Take in rows, each with a number for each column; of pictures each call is one."""
        self._calls += 1
        self._parts.append(rows.astype(np.float64))
        self._kept += len(rows)
        if self._kept > 2 * _MOST_KEPT:
            every = np.concatenate(self._parts)
            self._parts = [every[::2]]
            self._kept = len(self._parts[0])

    def of_vectors(self) -> dict[str, Any]:
        """Of numbers: a list with an entry for each column."""
        rows = np.concatenate(self._parts)
        return {key: value.tolist() for key, value in _described(rows).items()} | {
            "count": [len(rows)]
        }

    def of_pictures(self) -> dict[str, Any]:
        """Of pictures: for each channel, from 0 to 1, in the shape `[3, 1, 1]`."""
        rows = np.concatenate(self._parts) / 255.0
        found = {key: value.reshape(-1, 1, 1).tolist() for key, value in _described(rows).items()}
        return found | {"count": [self._calls]}


def joined(episodes: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The statistics of all episodes from those of each, weighted by their counts."""
    return {name: _joined([one[name] for one in episodes]) for name in episodes[0]}


def _joined(given: list[dict[str, Any]]) -> dict[str, Any]:
    parts = {key: np.array([one[key] for one in given], np.float64) for key in given[0]}
    counts = parts.pop("count")
    weights = counts.reshape(-1, *[1] * (parts["mean"].ndim - 1)) / counts.sum()
    mean = (parts["mean"] * weights).sum(axis=0)
    spread = ((parts["std"] ** 2 + (parts["mean"] - mean) ** 2) * weights).sum(axis=0)
    found = {
        "min": parts["min"].min(axis=0),
        "max": parts["max"].max(axis=0),
        "mean": mean,
        "std": np.sqrt(spread),
        **{name: (parts[name] * weights).sum(axis=0) for name in QUANTILES},
    }
    return {key: value.tolist() for key, value in found.items()} | {"count": [int(counts.sum())]}


def _described(rows: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }
