"""Parts of the validation page that are tables: texts, questions, single scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .. import page
from ..values.dimensions import title
from .evidence import Answers, Facets, Move, Perplexity, Quality, Validation

MOVES = 20  # scenarios shown
_MARKS = "▁▂▃▄▅▆▇█"


def cell(value: float | None, digits: int = 2) -> str:
    """A table cell with a number."""
    return page.number("–" if value is None else f"{value:.{digits}f}")


def perplexity(found: Perplexity, eras: list[str]) -> str:
    """The matrix, the best of each column in bold."""
    best = found.best(eras)
    rows = [[page.head("base"), *(cell(value, 1) for value in found.base)]]
    for era, values in zip(eras, found.matrix, strict=True):
        cells = [
            cell(v, 1).replace(">", "><strong>", 1).replace("</td>", "</strong></td>")
            if best[c] == era
            else cell(v, 1)
            for c, v in enumerate(values)
        ]
        rows.append([page.head(era), *cells])
    own = found.own(eras)
    others = [
        f"{column} by {row}"
        for column, row in zip(found.columns, best, strict=True)
        if column not in own
    ]
    rest = f" Best predicted by another era's model: {escape(', '.join(others))}." if others else ""
    return (
        "<section><h2>Do they know their century?</h2>"
        f"<p>Perplexity of models (rows) on works that none was trained on (columns, up to "
        f"{found.tokens:,} tokens each). Best on its own era's texts: <strong>{len(own)} of "
        f"{len(found.columns)}</strong>.{rest}</p>"
        + page.table("Held-out perplexity", ["Model", *found.columns], rows)
        + "</section>"
    )


def quality(found: Quality, eras: Sequence[str]) -> str:
    """Neutral questions."""
    rows = [[page.head("base"), cell(found.base), cell(1.0)]]
    rows += [[page.head(era), cell(found.eras[era]), cell(found.kept(era))] for era in eras]
    return (
        "<section><h2>Do they still answer?</h2>"
        f"<p>Share of {found.questions} value-neutral questions answered rightly, and what that is "
        "of the base's share.</p>"
        + page.table("Neutral questions", ["Model", "Right", "Of the base"], rows)
        + "</section>"
    )


def interview(answers: Sequence[Answers]) -> str:
    """The same questions to all eras."""
    parts = []
    for number, asked in enumerate(answers):
        rows = [[page.head(era), f"<td>{escape(said)}</td>"] for era, said in asked.eras.items()]
        answer = page.table(asked.question, ["Era", "Answer"], rows)
        parts.append(
            f"<h3>{escape(asked.question)}</h3>{answer}"
            if number == 0
            else page.folded(asked.question, answer)
        )
    return (
        "<section><h2>Ten questions</h2><p class='note'>Greedy answers, for an impression. No "
        f"score reads them, and single answers prove nothing.</p>{''.join(parts)}</section>"
    )


def moves(found: Sequence[Move], eras: Sequence[str]) -> str:
    """The scenarios that moved most, and how many deserve a look."""
    suspects = [move for move in found if move.suspect]
    titles = ["Statement", "Dimension", f"{eras[0]} … {eras[-1]}", "Change"]
    return (
        "<section><h2>What moved most</h2>"
        "<p>Approval in the last third of the eras less approval in the first third, in nats, "
        "after each era's approval of everything in the same dimension is taken away. Would a "
        "historian nod?</p>"
        + page.table("Statements that moved most", titles, [_move(m) for m in found[:MOVES]])
        + page.folded(
            f"{len(suspects)} of {len(found)} go against their dimension or tell no eras apart",
            page.table("Statements to look at", titles, [_move(m) for m in suspects]),
        )
        + "</section>"
    )


def _move(move: Move) -> list[str]:
    labels = ", ".join(
        f"{'upholds' if sign > 0 else 'violates'} {title(name).lower()}"
        for name, sign in move.labels.items()
    )
    change = page.number(f"{move.change:+.2f}")
    return [page.head(move.text), f"<td>{escape(labels)}</td>", _line(move.stances), change]


def _line(values: Sequence[float]) -> str:
    """A word-sized line of bars, from the smallest to the largest value."""
    low, high = min(values), max(values)
    scale = (len(_MARKS) - 1) / (high - low) if high > low else 0.0
    marks = "".join(_MARKS[round((value - low) * scale)] for value in values)
    numbers = ", ".join(f"{value:.2f}" for value in values)
    return f'<td class="number" title="{numbers}">{marks}</td>'


def ruler(found: Validation) -> str:
    """How far the ruler itself can be trusted."""
    lines = []
    if found.facets is not None:
        lines.append(_facets(found.facets))
    if found.paraphrase is not None:
        others = found.other_statements
        most = "" if others is None else f"; as many other statements, of {others:.2f}"
        lines.append(
            "Statements and the same statements in other words tell of the eras with a correlation "
            f"of {found.paraphrase:.2f}{most}."
        )
    if found.dilemmas is not None:
        lines.append(
            "Statements and dilemmas, another instrument with other scenarios, agree on the eras "
            f"with a correlation of {found.dilemmas:.2f}."
        )
    low, high = (pick(found.sharpness.items(), key=lambda p: p[1]) for pick in (min, max))
    lines.append(
        f"Eras judge more or less sharply: stances spread by {low[1]:.2f} nats in "
        f"{escape(low[0])} and by {high[1]:.2f} in {escape(high[0])}. With all scaled to the same "
        f"spread, {len(found.telling_in_shape)} dimensions keep a signal above 2, and the "
        f"reliability is {found.shape_reliability:.2f}."
    )
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<section><h2>The ruler</h2><ul>{items}</ul></section>"


def _facets(found: Facets) -> str:
    return (
        "What single readings say of eras apart comes from the dimension itself "
        f"({found.era:.0%}), from the scenario ({found.scenario:.0%}), the frame "
        f"({found.frame:.0%}), the pair of words ({found.pair:.0%}) and their interactions "
        f"({found.rest:.0%}). With other scenarios, frames and words, as many as here "
        f"({found.scenarios} scenarios a dimension), differences would come out again with a "
        f"dependability of {found.dependability:.2f}."
    )
