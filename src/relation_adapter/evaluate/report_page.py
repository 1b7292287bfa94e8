"""A report as one page of HTML that asks for nothing else, and as Markdown beside its pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from relation_adapter.evaluate.report_pictures import Figure
from relation_adapter.evaluate.report_tables import NONE, Table

PAPER = "paper"


@dataclass(frozen=True)
class Section:
    """A part of the page: lines of text, then tables and figures."""

    title: str
    text: Sequence[str] = ()
    parts: Sequence[Table | Figure] = ()


def html(title: str, sections: Sequence[Section]) -> str:
    """The whole page."""
    template = Template(resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    links = "".join(f'<a href="#s{n}">{escape(one.title)}</a>' for n, one in enumerate(sections))
    body = "".join(_section(number, one) for number, one in enumerate(sections))
    return template.substitute(title=escape(title), links=links, body=body)


def _section(number: int, one: Section) -> str:
    text = "".join(f"<li>{escape(line)}</li>" for line in one.text)
    parts = "".join(_table(part) if isinstance(part, Table) else _figure(part) for part in one.parts)
    return f'<section id="s{number}"><h2>{escape(one.title)}</h2>{text and f"<ul>{text}</ul>"}{parts}</section>\n'


def _table(table: Table) -> str:
    cell = "<th><button>{}</button></th>" if table.sortable else "<th>{}</th>"
    head = "".join(cell.format(escape(name)) for name in table.head)
    rows = []
    for number, row in enumerate(_marked(table)):
        cells = "".join(
            f'<th scope="row">{escape(text)}</th>' if place == 0 else f"<td{_left(text)}>{escape(text)}</td>"
            for place, text in enumerate(row)
        )
        rows.append(f'<tr class="paper">{cells}</tr>' if number < table.paper else f"<tr>{cells}</tr>")
    kind = ' class="sortable"' if table.sortable else ""
    notes = "".join(f"<p class=note>{escape(note)}</p>" for note in table.notes)
    return (
        f"<h3>{escape(table.title)}</h3><div class=scroll tabindex=0><table{kind}><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def _left(text: str) -> str:
    """Words stand left, numbers right."""
    return "" if text == NONE or any(letter.isdigit() for letter in text) else " class=word"


def _figure(figure: Figure) -> str:
    title = escape(figure.title)
    if figure.kind == "image/svg+xml":
        return f'<figure class="plot">{figure.data.decode()}</figure>'
    data = base64.b64encode(figure.data).decode()
    picture = f'<img src="data:{figure.kind};base64,{data}" alt="{title}">'
    return f"<figure><figcaption>{title}</figcaption><div class=scroll tabindex=0>{picture}</div></figure>"


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The same as Markdown; pictures by the names of their files."""
    blocks = [f"# {title}"]
    for one in sections:
        blocks.append(f"## {one.title}")
        if one.text:
            blocks.append("\n".join(f"- {line}" for line in one.text))
        for part in one.parts:
            if isinstance(part, Figure):
                blocks.append(f"![{_plain(part.title)}]({part.name})")
                continue
            blocks.append(f"### {part.title}\n\n{_markdown_table(part)}")
            blocks += part.notes
    return "\n\n".join(blocks) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [_line(table.head), "|---" * len(table.head) + "|"]
    return "\n".join([*lines, *map(_line, _marked(table))])


def _marked(table: Table) -> list[Sequence[str]]:
    """The rows; published ones say so."""
    return [[f"{row[0]} ({PAPER})", *row[1:]] if n < table.paper else row for n, row in enumerate(table.rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Text that breaks no table, and no link."""
    return " ".join(text.split()).replace("|", "\\|").replace("[", "(").replace("]", ")")
