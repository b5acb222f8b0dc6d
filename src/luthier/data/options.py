"""What a user may say about a data file."""

from __future__ import annotations

from pydantic import Field

from luthier.core.config import Config


class ReadOptions(Config):
    """How to read a data file. Everything may be left out; what is, is guessed from column names and shown."""

    prompt: str | None = Field(
        default=None, description="The prompt with {column} in it, e.g. 'Summarize this dialogue.\\n\\n{dialogue}'."
    )
    answer: str | None = Field(default=None, description="The column with the right answer, or a template of columns.")
    system: str | None = Field(default=None, description="A column, a template or a text for the system turn.")
    cluster: str | None = Field(
        default=None, description="The column whose equal values keep rows together (a customer)."
    )
    id: str | None = Field(default=None, description="The column with each row's name; without one, names are hashed.")
    split: str | None = Field(default=None, description="The column that says train, validation or test.")
    skip_bad: bool = Field(default=False, description="Leave out rows that cannot be used, with their count.")
