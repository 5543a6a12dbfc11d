"""Feature levels: what a build reads of what other builds write.

A new kind of frame, stream or row has a level of its own here, above all earlier ones. It is written only where the store's
level (`ports.feature_level`) is at least that: then every process at work reads it.

| level | what may be written |
|---|---|
| 0 | what 0.1.0 reads |
| 1 | nothing more: from this level on a process says what it reads |
"""

from typing import Final

FEATURE_LEVEL: Final = 1
"""The highest level that this build reads."""
