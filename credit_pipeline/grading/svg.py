"""Small pictures for model cards, as SVG text: the same figures give the same bytes, and nothing can run in them.

Here: points, steps and bars on axes. Not here: what is drawn (model_card.py).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

BLUE, RED, GREY, GREEN, AMBER = "#1f5fa8", "#b3261e", "#8a8f98", "#2e7d4f", "#b7791f"
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 20, 24, 34


def _n(value: float) -> str:
    """A coordinate, short and always the same."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def label_of(value: float) -> str:
    """A number for people: at most four digits."""
    return f"{value:.4g}"


@dataclass
class Plot:
    """Axes with things on them; x and y are in the data's units."""

    title: str
    x: tuple[float, float]
    y: tuple[float, float]
    x_name: str = ""
    y_name: str = ""
    width: int = 360
    height: int = 260
    left: int = _LEFT
    """Room for the words of the y axis."""
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    _parts: list[str] = field(default_factory=list)

    def px(self, x: float) -> float:
        low, high = self.x
        return self.left + (x - low) / ((high - low) or 1.0) * (self.width - self.left - _RIGHT)

    def py(self, y: float) -> float:
        low, high = self.y
        return self.height - _BOTTOM - (y - low) / ((high - low) or 1.0) * (self.height - _TOP - _BOTTOM)

    def line(self, points: Sequence[tuple[float, float]], colour: str = BLUE, dashed: bool = False) -> None:
        if len(points) < 2:
            return
        path = " ".join(f"{_n(self.px(x))},{_n(self.py(y))}" for x, y in points)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>'
        )

    def dot(self, x: float, y: float, colour: str = BLUE, radius: float = 3) -> None:
        self._parts.append(
            f'<circle cx="{_n(self.px(x))}" cy="{_n(self.py(y))}" r="{_n(radius)}" fill="{colour}"/>'
        )

    def bar(self, x: float, low: float, high: float, colour: str = GREY) -> None:
        """A vertical interval."""
        place = _n(self.px(x))
        self._parts.append(
            f'<line x1="{place}" x2="{place}" y1="{_n(self.py(low))}" y2="{_n(self.py(high))}" '
            f'stroke="{colour}" stroke-width="1.5"/>'
        )

    def box(self, left: float, right: float, low: float, high: float, colour: str = BLUE) -> None:
        """A filled rectangle, faint."""
        a, b, c, d = self.px(left), self.px(right), self.py(high), self.py(low)
        self._parts.append(
            f'<rect x="{_n(a)}" y="{_n(c)}" width="{_n(b - a)}" height="{_n(d - c)}" fill="{colour}" '
            'fill-opacity="0.25"/>'
        )

    def words(self, x: float, y: float, text: str, colour: str = "#333") -> None:
        self._parts.append(
            f'<text x="{_n(self.px(x))}" y="{_n(self.py(y))}" fill="{colour}" text-anchor="middle">'
            f"{escape(text)}</text>"
        )

    def svg(self) -> str:
        right, bottom = self.width - _RIGHT, self.height - _BOTTOM
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" role="img" font-family="sans-serif" font-size="10">',
            f"<title>{escape(self.title)}</title>",
            f'<rect width="{self.width}" height="{self.height}" fill="#fff"/>',
            f'<text x="{self.left}" y="14" font-size="11" font-weight="bold" fill="#222">{escape(self.title)}</text>',
            f'<path d="M{self.left} {_TOP}V{bottom}H{right}" fill="none" stroke="#555"/>',
        ]
        for value, text in self.x_ticks or _ends(self.x):
            place = _n(self.px(value))
            parts.append(
                f'<path d="M{place} {bottom}v4" stroke="#555"/><text x="{place}" y="{bottom + 14}" '
                f'text-anchor="middle" fill="#333">{escape(text)}</text>'
            )
        for value, text in self.y_ticks or _ends(self.y):
            place = _n(self.py(value))
            parts.append(
                f'<path d="M{self.left} {place}h-4" stroke="#555"/><text x="{self.left - 6}" y="{_n(self.py(value) + 3)}" '
                f'text-anchor="end" fill="#333">{escape(text)}</text>'
            )
        if self.x_name:
            parts.append(
                f'<text x="{(self.left + right) // 2}" y="{self.height - 5}" text-anchor="middle" fill="#333">'
                f"{escape(self.x_name)}</text>"
            )
        if self.y_name:
            middle = (_TOP + bottom) // 2
            parts.append(
                f'<text x="10" y="{middle}" text-anchor="middle" fill="#333" '
                f'transform="rotate(-90 10 {middle})">{escape(self.y_name)}</text>'
            )
        return "".join([*parts, *self._parts, "</svg>"])


def _ends(span: tuple[float, float]) -> list[tuple[float, str]]:
    low, high = span
    return [(value, label_of(value)) for value in (low, (low + high) / 2, high)]


def as_markdown(name: str, svg: str) -> str:
    """The picture inside a line of Markdown."""
    return f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')})"
