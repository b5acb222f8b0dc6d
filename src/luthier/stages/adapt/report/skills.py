"""What tuning cost in general ability, and whether answers come to their end."""

from __future__ import annotations

from luthier.reporting.blocks import Block, Heading, Row, Text
from luthier.stages.adapt.findings import Findings
from luthier.stages.forgetting import forgetting_blocks


def skills_section(found: Findings) -> list[Block]:
    """Show what was forgotten, and how many answers end by themselves."""
    forgetting, ended = found.proof.forgetting, found.proof.ended
    blocks: list[Block] = []
    if forgetting is not None:
        blocks += forgetting_blocks(forgetting)
    elif found.choice.tuned is not None:
        blocks.append(Text("Whether tuning cost the model other skills was not looked at."))
    if ended is not None:
        own, all_of_them = ended
        text = f"{own:,} of {all_of_them:,} answers to the unseen rows ended by themselves"
        rest = "" if own == all_of_them else f"; the other {all_of_them - own:,} ran into the output limit"
        blocks.append(Row("ends its turn", f"{text}{rest}."))
    title = "Do answers end" if found.choice.tuned is None else "What was forgotten"
    return [Heading(title), *blocks] if blocks else []
