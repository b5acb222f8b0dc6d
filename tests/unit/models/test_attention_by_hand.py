"""Packed attention against a softmax written out token by token."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from luthier.core.errors import GuardError
from luthier.models import flash, varlen
from luthier.models.attention import AttentionOptions, PackedAttention, luthier_attention
from luthier.segments import AttentionPlan, Span

H, G, K = 4, 2, 8
# root of 4 tokens, a child of 3 with a grandchild of 2, another child of 2, and a root of its own of 3
SPANS = (
    Span((0, 4)),
    Span((4, 7), ((0, 4),)),
    Span((7, 9), ((0, 4), (4, 7))),
    Span((9, 11), ((0, 4),)),
    Span((11, 14)),
)
POSITIONS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 4, 5, 0, 1, 2]
SEEN_SEGMENTS = {0: {0}, 1: {0, 1}, 2: {0, 1, 2}, 3: {0, 3}, 4: {4}}
SEGMENT = [0] * 4 + [1] * 3 + [2] * 2 + [3] * 2 + [4] * 3


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(1, heads, 14, K, generator=draw).to(dtype) for heads in (H, G, G))  # type: ignore[return-value]


def seen(query: int, key: int, window: int | None) -> bool:
    distance = POSITIONS[query] - POSITIONS[key]
    same_path = SEGMENT[key] in SEEN_SEGMENTS[SEGMENT[query]]
    return same_path and distance >= 0 and (window is None or distance < window)


def written_out(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
    out = torch.zeros(1, 14, H, K, dtype=torch.float64)
    for h in range(H):
        for i in range(14):
            keys = [j for j in range(14) if seen(i, j, options.window)]
            scores = [float(query[0, h, i].double() @ key[0, h // 2, j].double()) * options.scale for j in keys]
            if options.softcap is not None:
                scores = [options.softcap * math.tanh(s / options.softcap) for s in scores]
            exponents = [math.exp(s) for s in scores]
            total = sum(exponents) + (math.exp(float(options.sinks[h])) if options.sinks is not None else 0.0)
            for e, j in zip(exponents, keys, strict=True):
                out[0, i, h] += e / total * value[0, h // 2, j].double()
    return out


# bf16 rounds scores of up to 10 to about 0.03 before the softmax; that is its error, and a wrong mask's is above 0.3.
@pytest.mark.parametrize(
    "options",
    [
        AttentionOptions(0, K**-0.5),
        AttentionOptions(0, 0.7, window=3),
        AttentionOptions(0, 0.7, window=1),
        AttentionOptions(0, 0.7, softcap=0.8),
        AttentionOptions(0, 0.7, window=4, softcap=0.8),
        AttentionOptions(0, 0.7, sinks=torch.tensor([0.3, -1.0, 2.0, 0.0])),
    ],
    ids=["plain", "window", "window of one", "soft cap", "window and soft cap", "sinks"],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 5e-2)], ids=["fp32", "bf16"])
def test_every_token_sees_its_path_and_its_past(
    options: AttentionOptions, dtype: torch.dtype, tolerance: float
) -> None:
    query, key, value = inputs(dtype)
    attend = PackedAttention(AttentionPlan(SPANS, torch.tensor(POSITIONS)))
    found = attend(query, key, value, options)
    assert found.shape == (1, 14, H, K)
    assert found.dtype == dtype
    assert attend.calls == 1
    assert torch.allclose(found.double(), written_out(query, key, value, options), atol=tolerance)


def all_at_once(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
    allowed = torch.tensor([[seen(i, j, options.window) for j in range(14)] for i in range(14)])
    keys, values = (each.repeat_interleave(H // G, 1) for each in (key, value))
    scores = (query @ keys.transpose(2, 3) * options.scale).masked_fill(~allowed, float("-inf"))
    return (torch.softmax(scores, -1) @ values).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 3e-2)],
    ids=["fp64", "fp32", "bf16"],
)
def test_gradients_are_those_of_attention_written_out(dtype: torch.dtype, tolerance: float, window: int | None) -> None:
    """What several spans look at gets the gradients of all of them."""
    options = AttentionOptions(0, 0.7, window=window)
    given = [each.requires_grad_() for each in inputs(dtype)]
    wide = [each.detach().double().requires_grad_() for each in given]
    found = PackedAttention(AttentionPlan(SPANS, torch.tensor(POSITIONS)))(*given, options)
    arriving = torch.randn(found.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gradients = torch.autograd.grad(found, given, arriving.to(dtype))
    wanted = torch.autograd.grad(all_at_once(*wide, options), wide, arriving.to(dtype).double())
    for mine, theirs in zip(gradients, wanted, strict=True):
        assert mine.dtype == dtype
        assert torch.allclose(mine.double(), theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max()))


def test_in_bf16_attention_is_computed_in_fp32_and_rounded_once() -> None:
    query, key, value = inputs(torch.bfloat16)
    attend = PackedAttention(AttentionPlan(SPANS, torch.tensor(POSITIONS)))
    options = AttentionOptions(0, 0.5, window=3)
    assert torch.equal(
        attend(query, key, value, options),
        attend(query.float(), key.float(), value.float(), options).bfloat16(),
    )
    without = attend(query, key, value, options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(attend(query, key, value, options), without)


def test_span_by_span_gives_what_one_function_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch without the kernel's own calls goes span by span."""
    given = inputs()
    attend = PackedAttention(AttentionPlan(SPANS, torch.tensor(POSITIONS)))
    whole = attend(*given, AttentionOptions(0, 0.5))
    monkeypatch.setattr(flash, "_BACKWARD", None)
    monkeypatch.setattr(flash, "attend_spans", None)  # calling it would fail
    assert torch.allclose(whole, attend(*given, AttentionOptions(0, 0.5)), atol=1e-6)


def test_attention_weights_are_dropped_where_that_is_asked_for() -> None:
    """The kernel of a whole row drops nothing: such a row goes span by span."""
    given = inputs()
    attend = PackedAttention(AttentionPlan(SPANS, torch.tensor(POSITIONS)))
    whole, dropped = (attend(*given, AttentionOptions(0, 0.5, dropout=share)) for share in (0.0, 0.5))
    assert not torch.allclose(whole, dropped, atol=0.1)


def test_a_call_without_a_plan_is_stopped() -> None:
    with pytest.raises(GuardError, match="without a plan of who sees whom"):
        luthier_attention(torch.nn.Identity(), *inputs(), attention_mask=None)


def test_what_transformers_hands_over_arrives() -> None:
    received = []

    def attend(query: Tensor, key: Tensor, value: Tensor, options: AttentionOptions) -> Tensor:
        received.append(options)
        return query.transpose(1, 2)

    module = torch.nn.Identity()
    module.layer_idx = 5  # type: ignore[assignment]
    sinks = torch.zeros(H)
    luthier_attention(
        module, *inputs(), None, scaling=0.3, dropout=0.1, sliding_window=7, softcap=2.0, s_aux=sinks, attend=attend
    )
    luthier_attention(torch.nn.Identity(), *inputs(), None, attend=attend, position_bias=SimpleNamespace())
    assert received[0] == AttentionOptions(5, 0.3, 0.1, 7, 2.0, sinks)
    assert received[1] == AttentionOptions(0, K**-0.5)


def documented_kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    ends_q: Tensor,
    ends_k: Tensor,
    most_q: int,
    most_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """What torch says of `varlen_attn`: sequences one after the other, causal and windows aligned at their ends."""
    assert enable_gqa == (query.shape[1] != key.shape[1])
    assert ends_q.dtype == ends_k.dtype == torch.int32
    assert (most_q, most_k) == (int(ends_q.diff().max()), int(ends_k.diff().max()))
    left, right = window_size
    assert right == 0
    parts = []
    for (a, b), (c, d) in zip(ends_q.unfold(0, 2, 1).tolist(), ends_k.unfold(0, 2, 1).tolist(), strict=True):
        ahead = (torch.arange(b - a)[:, None] + (d - c) - (b - a)) - torch.arange(d - c)[None]
        hidden = (ahead < 0) | (ahead > left if left >= 0 else False)
        keys, values = (each[c:d].repeat_interleave(H // G, 1).transpose(0, 1) for each in (key, value))
        scores = (query[a:b].transpose(0, 1) @ keys.transpose(1, 2) * scale).masked_fill(hidden, float("-inf"))
        parts.append((scores.softmax(-1) @ values).transpose(0, 1))
    return torch.cat(parts)


@pytest.mark.parametrize("window", [None, 3, 1])
def test_one_call_of_a_kernel_sees_what_span_by_span_sees(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here against what torch documents of its kernel, which runs on CUDA only."""
    monkeypatch.setattr(varlen, "kernel", lambda: documented_kernel)
    query, key, value = inputs()
    options, plan = AttentionOptions(0, 0.7, window=window), AttentionPlan(SPANS, torch.tensor(POSITIONS))
    ordinary = PackedAttention(plan)(query, key, value, options)
    monkeypatch.setattr(varlen, "takes", lambda query, options: True)
    attend = PackedAttention(plan)
    found = attend(query, key, value, options)
    assert torch.allclose(found, ordinary, atol=1e-6)
    assert torch.allclose(found.double(), written_out(query, key, value, options), atol=1e-6)
    assert torch.equal(attend(query, key, value, options), found)
    assert attend.calls == 2


def test_the_kernel_is_called_only_for_what_it_computes() -> None:
    def on_gpu(width: int = 64, dtype: torch.dtype = torch.bfloat16, is_cuda: bool = True) -> Any:
        return SimpleNamespace(is_cuda=is_cuda, dtype=dtype, shape=(1, H, 14, width))

    plain = AttentionOptions(0, 0.7)
    assert varlen.kernel() is not None
    assert varlen.takes(on_gpu(), plain)
    assert varlen.takes(on_gpu(), replace(plain, window=5))
    for query in (on_gpu(is_cuda=False), on_gpu(dtype=torch.float32), on_gpu(width=320), on_gpu(width=12)):
        assert not varlen.takes(query, plain)
    for more in ({"dropout": 0.1}, {"softcap": 30.0}, {"sinks": torch.zeros(H)}):
        assert not varlen.takes(on_gpu(), replace(plain, **more))  # type: ignore[arg-type]
