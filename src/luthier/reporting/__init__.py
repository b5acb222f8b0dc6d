"""Reports: blocks (texts, tables, plots) and what renders them: a terminal, an HTML file, Markdown.

Nothing here knows what is reported, and nothing imports torch. A stage builds a list of `blocks`; `console` shows it
on a terminal, `html` writes it as one self-contained file, `markdown` as the body of a card.
"""
