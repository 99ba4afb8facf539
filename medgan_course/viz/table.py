"""Numbers in rows, for a page and for a phone."""

import html
from collections.abc import Sequence


class Table:
    """A small HTML table; ``str`` gives the same as text.

    Parameters
    ----------
    columns : sequence of str
        Headings; the first is that of the row names.
    rows : sequence of sequences
        One value a column; anything with a ``str``.
    caption : str, optional
        Shown above the table.
    """

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str = ""
    ) -> None:
        self.columns, self.caption = list(columns), caption
        self.rows = [[str(value) for value in row] for row in rows]

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col">{html.escape(name)}</th>' if name else "<td></td>" for name in self.columns
        )
        body = "".join(
            f'<tr><th scope="row" style="text-align:left;padding:.25em .4em">{html.escape(row[0])}</th>'
            + "".join(
                f'<td style="text-align:left;padding:.25em .4em">{html.escape(value)}</td>'
                for value in row[1:]
            )
            + "</tr>"
            for row in self.rows
        )
        above = "caption-side:top;text-align:left"
        caption = f'<caption style="{above}">{html.escape(self.caption)}</caption>' if self.caption else ""
        return (
            f'<table class="dataframe">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        )

    def __repr__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        text = "\n".join(
            "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)) for line in lines
        )
        return f"{self.caption}\n{text}" if self.caption else text
