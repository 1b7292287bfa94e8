"""What the page shows in the middle, as HTML: how far it is, the result beside its source, what can be downloaded."""

from __future__ import annotations

from html import escape

from relation_adapter.web.studio import News
from relation_adapter.web.visits import Entry, Kept, Visit

EMPTY = (
    '<div class="ra-empty"><p><b>The result appears here.</b></p>'
    "<p>A pair shows the edit. Your pictures get it.</p></div>"
)


def status(text: str = "", *, share: float | None = None) -> str:
    """One line on what happens, read out to who cannot see it; share: of the work that is done, in [0, 1]."""
    bar = "" if share is None else f'<progress value="{share:.3f}" max="1" aria-label="progress"></progress>'
    line = f"<span>{escape(text)}</span>" if text else ""
    return f'<div class="ra-status" role="status">{line}{bar}</div>'


def problem(*lines: str) -> str:
    """What went wrong, a line each."""
    return '<div class="ra-problem" role="alert">' + "".join(f"<p>{escape(line)}</p>" for line in lines) + "</div>"


def working(news: News, entry: Entry) -> str:
    """How far an edit is."""
    count = len(entry.order.sources)
    which = f"Picture {news.number + 1} of {count}: " if count > 1 else ""
    if news.kind == "waiting":
        line = f"{which}waiting, {news.ahead} {'picture' if news.ahead == 1 else 'pictures'} before yours"
    elif not count:
        line = "reading the pair"
    elif news.step:
        line = f"{which}step {news.step} of {news.steps}"
    else:
        line = f"{which}looking at it"
    done = news.number + (news.step / news.steps if news.steps else 0)
    return status(line[:1].upper() + line[1:], share=done / max(count, 1))


def preview(picture: str) -> str:
    """A picture as far as it is; a data URL."""
    return (
        '<figure class="ra-compare" style="--ratio:1"><div class="ra-preview">'
        f'<img src="{escape(picture)}" alt="preview"><span class="ra-tag ra-left">preview</span></div></figure>'
    )


def finished(entry: Entry) -> str:
    """What came of an edit, in one line, and each source that was refused."""
    count, done = len(entry.order.sources), len(entry.results)
    if not count:
        return status("The relation is read. Save it, or drop a source and press Edit.")
    if entry.errors:
        names = [f"{entry.order.sources[number].name}: {text}" for number, text in entry.errors.items()]
        return (status(f"{done} of {count} edited.") if done else "") + problem(*names)
    if done < count:
        return status(f"Stopped. {done} of {count} edited." if count > 1 else "Stopped.")
    return status(f"Done: {count} {'picture' if count == 1 else 'pictures'}.")


def caption(entry: Entry) -> str:
    """An edit of the visit in a few words."""
    count, settings = len(entry.order.sources), entry.order.settings
    pictures = (
        "relation" if not count else f"{len(entry.results)} of {count}" if count > 1 else entry.order.sources[0].name
    )
    strength = "" if settings.strength == 1 else f" · {settings.strength:g}"
    return f"{entry.number} · {pictures}{strength}"


def compare(visit: Visit, entry: Entry, number: int) -> str:
    """One result beside its source, with a slider that a mouse, a finger and the arrow keys move."""
    source, result = entry.order.sources[number], entry.results[number]
    name, width, height = escape(source.name), *result.size
    return (
        f'<figure class="ra-compare" style="--split:50%;--ratio:{width / height:.4f}"><div class="ra-frame">'
        f'<img src="{_url(visit, source)}" alt="source: {name}">'
        f'<img class="ra-result" src="{_url(visit, result)}" alt="result: {name}">'
        '<span class="ra-tag ra-left">source</span><span class="ra-tag ra-right">result</span>'
        '<span class="ra-line"></span>'
        '<input type="range" min="0" max="100" value="50" aria-label="How much of the source is seen"></div>'
        f"<figcaption>{name} · {width} &times; {height}</figcaption></figure>"
    ) + downloads(visit, entry, number)


def downloads(visit: Visit, entry: Entry, number: int | None = None) -> str:
    """Links to what the visitor may take along."""
    links = []
    if number is not None and (result := entry.results.get(number)) is not None:
        name = escape(f"{entry.order.sources[number].name}.png")
        links.append((f"visit/{visit.token}/{result.path.name}", name, "Download picture"))
    if entry.results:
        links.append((f"visit/{visit.token}/{entry.number}.zip", f"edit-{entry.number}.zip", "Download all (zip)"))
    if entry.relation is not None:
        links.append((f"visit/{visit.token}/{entry.relation.name}", "relation.safetensors", "Save relation"))
    shown = "".join(f'<a href="{href}" download="{name}">{text}</a>' for href, name, text in links)
    return f'<div class="ra-links">{shown}</div>'


def _url(visit: Visit, kept: Kept) -> str:
    return f"visit/{visit.token}/{kept.view.name}"
