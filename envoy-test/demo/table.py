"""Plain tables: fixed columns, no colours, readable in a log."""


def lines(head, rows, limits=()):
    """The table as a list of lines. A row that is a text is a heading of the rows below it.

    `limits` caps columns (by position); a longer cell is cut and ends with `~`.
    """
    cells = [row if isinstance(row, str) else [_cut(str(cell), limit) for cell, limit in zip(row, [*limits, *[0] * len(head)])]
             for row in [head, *rows]]
    widths = [max(len(row[c]) for row in cells if not isinstance(row, str)) for c in range(len(head))]
    out = ["\n" + row if isinstance(row, str) else "  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    out.insert(1, "  ".join("-" * width for width in widths))
    return out


def _cut(text, limit):
    return text[: limit - 1] + "~" if limit and len(text) > limit else text


def show(title, head, rows, limits=()):
    print(f"\n{title}\n")
    for line in lines(head, rows, limits):
        print(line)
