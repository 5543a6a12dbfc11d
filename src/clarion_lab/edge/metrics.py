"""The stretches of CPU on the API's event loop, as its own metrics report them."""

import re
from typing import Final

from clarion_lab.load.accounting import BUSY_METRIC

_SAMPLE: Final = re.compile(BUSY_METRIC + r"_bucket{(?P<labels>[^}]*)} (?P<value>\S+)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def stretches(page: str, process: str) -> dict[str, dict[float, int]]:
    """Return the number of stretches of a process by cause and by the upper bound in seconds of their bucket, from a
    Prometheus text page."""
    found: dict[str, dict[float, int]] = {}
    for sample in _SAMPLE.finditer(page):
        labels = dict(_LABEL.findall(sample["labels"]))
        if labels["process"] == process:
            found.setdefault(labels["by"], {})[float(labels["le"])] = int(float(sample["value"]))
    return {by: _single(buckets) for by, buckets in found.items()}


def _single(buckets: dict[float, int]) -> dict[float, int]:
    """Return the numbers of single buckets; those of Prometheus include all below them."""
    below, single = 0, {}
    for bound_s in sorted(buckets):
        single[bound_s], below = buckets[bound_s] - below, buckets[bound_s]
    return single
