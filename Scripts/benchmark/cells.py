"""Tables in Markdown."""


def cells(*head: str, rows: list[tuple[str, ...]]) -> list[str]:
    """A table, and an empty line."""
    lines = [head, ("---",) * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]
