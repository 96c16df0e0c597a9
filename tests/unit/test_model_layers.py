"""What client and host say to each other about layers."""

from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paas.model.layers import (
    CONFIG,
    DATA,
    END,
    LAYER,
    MAGIC,
    MAX_FRAME_BYTES,
    PACKED,
    Answer,
    EndsEarly,
    LayerHead,
    Malformed,
    Question,
    frame,
    frames,
    held_layers,
    layer_frame,
    needed,
)

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


def test_question_and_answer_come_back() -> None:
    question = Question(A, (B, C, B))
    assert Question.parse(question.to_json()) == question
    answer = Answer(True, 3, True, {B: 17})
    assert Answer.parse(answer.to_json()) == answer


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x)).map(repr))
def test_anything_else_is_refused(text: str) -> None:
    for parse in (Question.parse, LayerHead.parse):
        with pytest.raises(Malformed):
            parse(text)  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    ['{"held": -1}', '{"held": "1"}', '{"kept": []}', '{"kept": {"../x": 1}}', f'{{"kept": {{"{A}": -1}}}}', "[]", ""],
)
def test_what_is_no_answer(text: str) -> None:
    with pytest.raises(Malformed):
        Answer.parse(text)


@pytest.mark.parametrize("offset, size", [(-1, 1), (2, 1), ("0", 1), (0, None)])
def test_what_is_no_layer(offset: object, size: object) -> None:
    with pytest.raises(Malformed):
        LayerHead.parse(layer_frame(A, offset, size)[5:])  # type: ignore[arg-type]


def test_only_the_lowest_layers_can_be_held() -> None:
    assert held_layers((A, B, C), (A, B)) == 2
    assert held_layers((A, B), (A, C, B)) == 1
    assert held_layers((A,), (B, A)) == 0
    assert needed((A, B, A, C, B), 2) == [A, C, B]


@given(st.lists(st.tuples(st.sampled_from([LAYER, DATA, CONFIG]), st.binary(max_size=300))), st.integers(1, 50))
def test_frames_come_back_however_they_are_cut(sent: list[tuple[bytes, bytes]], cut: int) -> None:
    stream = io.BytesIO(MAGIC + b"".join(frame(kind, data) for kind, data in sent) + frame(END) + b"more")
    assert list(frames(lambda size: stream.read(min(size, cut)))) == [*sent, (END, b"")]


def test_packed_data_is_unpacked_but_not_without_limit() -> None:
    def read(payload: bytes) -> list[tuple[bytes, bytes]]:
        return list(frames(io.BytesIO(MAGIC + frame(PACKED, payload) + frame(END)).read))

    assert read(zlib.compress(b"x" * 1000)) == [(DATA, b"x" * 1000), (END, b"")]
    for bad in (b"garbage", zlib.compress(b"x")[:-1], zlib.compress(b"x") + b"y", zlib.compress(bytes(MAX_FRAME_BYTES + 1))):
        with pytest.raises(Malformed):
            read(bad)


@pytest.mark.parametrize("kept", [0, 3, len(MAGIC), len(MAGIC) + 3, len(MAGIC) + 7])
def test_a_stream_that_ends_early(kept: int) -> None:
    stream = io.BytesIO((MAGIC + frame(CONFIG, b"12345"))[:kept])
    with pytest.raises(EndsEarly):
        list(frames(stream.read))


@pytest.mark.parametrize("data", [b"x" * 100, MAGIC + b"D" + b"\xff" * 10], ids=["other", "too-long"])
def test_a_stream_that_is_something_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(frames(io.BytesIO(data).read))
