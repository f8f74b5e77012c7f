"""Plain tables: fixed columns, no colours, readable in a log."""


def lines(head, rows, limits=()):
    """The table as a list of lines. `limits` caps columns (by position); a longer cell is cut and ends with `~`."""
    cells = [[str(c) for c in row] for row in [head, *rows]]
    for row in cells:
        for column, limit in enumerate(limits):
            if limit and len(row[column]) > limit:
                row[column] = row[column][: limit - 1] + "~"
    widths = [max(len(row[c]) for row in cells) for c in range(len(head))]
    out = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    out.insert(1, "  ".join("-" * width for width in widths))
    return out


def show(title, head, rows, limits=()):
    print(f"\n{title}\n")
    for line in lines(head, rows, limits):
        print(line)
