"""The messages on the pipes to a confined process: frames of a kind, a length and a body."""

import struct
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.errors import InvalidField
from clarion.domain.limits_content import (
    DRAFT_BUILD_CPU_MS_MAX,
    DRAFT_BUILD_MEMORY_MB_MAX,
    DRAFT_BUILD_WAIT_MS_MAX,
    DRAFT_RENDER_CPU_MS_MAX,
    DRAFT_RENDER_MEMORY_MB_MAX,
    DRAFT_RENDER_WAIT_MS_MAX,
)
from clarion.ports.drafting import BuildJob, RenderJob

HEAD: Final = struct.Struct(">cI")

# Jobs.
BUILD: Final = b"B"
RENDER: Final = b"R"

# Answers.
READY: Final = b"H"
"""The process accepts jobs from now on."""
DONE: Final = b"D"
REFUSED: Final = b"F"
"""A field of the draft is wrong; the body is a `Refusal`."""
OVER_TIME: Final = b"T"
OVER_MEMORY: Final = b"M"
ENDED: Final = b"E"
"""The job ended in any other way; the body is text."""


class Refusal(msgspec.Struct, frozen=True):
    """An encoded `InvalidField`."""

    detail: str
    field: str | None
    code: str


class Bounds(NamedTuple):
    """The limits of one job."""

    cpu_ms: int
    memory_mb: int
    wait_ms: int


BOUNDS: Final = {
    BUILD: Bounds(DRAFT_BUILD_CPU_MS_MAX, DRAFT_BUILD_MEMORY_MB_MAX, DRAFT_BUILD_WAIT_MS_MAX),
    RENDER: Bounds(DRAFT_RENDER_CPU_MS_MAX, DRAFT_RENDER_MEMORY_MB_MAX, DRAFT_RENDER_WAIT_MS_MAX),
}


class PipeMessage(NamedTuple):
    """A job or an answer."""

    kind: bytes
    body: bytes = b""


def packed(frame: PipeMessage) -> bytes:
    """Return a frame as bytes."""
    return HEAD.pack(frame.kind, len(frame.body)) + frame.body


def job_frame(job: BuildJob | RenderJob) -> PipeMessage:
    """Return the frame of a job. Raises `InvalidField` for numbers that are too large to encode."""
    try:
        return PipeMessage(BUILD if isinstance(job, BuildJob) else RENDER, _ENCODER.encode(job))
    except OverflowError:
        raise InvalidField("holds a whole number of more than 64 bits") from None


def job_of(frame: PipeMessage) -> BuildJob | RenderJob:
    """Return the job of a frame."""
    return _BUILDS.decode(frame.body) if frame.kind == BUILD else _RENDERS.decode(frame.body)


def body_of(value: Any) -> bytes:
    """Return the encoded body of a frame."""
    return _ENCODER.encode(value)


_ENCODER: Final = msgspec.msgpack.Encoder()
_BUILDS: Final = msgspec.msgpack.Decoder(BuildJob)
_RENDERS: Final = msgspec.msgpack.Decoder(RenderJob)
