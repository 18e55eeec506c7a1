"""Pictures of a card."""

from __future__ import annotations

from xml.etree import ElementTree

from credit_pipeline.grading.svg import Plot, as_markdown


def test_a_plot_is_sound_xml_and_the_same_every_time() -> None:
    """Prevents a card whose pictures break at a name with a sign in it, or differ from run to run."""

    def drawn() -> str:
        plot = Plot('<b>&"', (0, 0), (0, 1), "x & y", "z", x_ticks=[(0, "<1")])
        plot.line([(0, 0), (0, 1)])
        plot.line([(0, 0)])
        plot.dot(0, 1)
        plot.bar(0, 0, 1)
        plot.box(0, 0, 0, 1)
        plot.words(0, 0.5, "</svg>")
        return plot.svg()

    assert drawn() == drawn()
    tree = ElementTree.fromstring(drawn())  # noqa: S314 - our own text
    assert tree.tag.endswith("svg") and "nan" not in drawn()
    assert as_markdown("name", drawn()).startswith("![name](data:image/svg+xml;base64,")
