"""What the list of references says beyond the references: why to read each, and which pages cite it.

As a Sphinx extension it puts under every entry of a bibliography the text of its field ``annote`` in
``references.bib`` and links to the pages that cite it.
"""

from docutils import nodes
from pybtex.richtext import Text
from sphinx.application import Sphinx


def annotate(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Add to every entry of a bibliography on ``page`` what ``annote`` says and who cites it."""
    domain = app.env.get_domain("cite")
    entries = {each.citation_id: each for each in domain.citations}
    citing: dict[str, list[str]] = {}
    for reference in domain.citation_refs:
        for target in reference.targets:
            pages = citing.setdefault(target.key, [])
            if reference.docname not in pages:
                pages.append(reference.docname)
    for node in doctree.findall(nodes.citation):
        found = entries[node["ids"][0]]
        if "annote" in found.entry.fields:
            node += nodes.paragraph("", str(Text.from_latex(found.entry.fields["annote"])))
        if pages := sorted(citing.get(found.key, [])):
            cited = nodes.paragraph("", "Cited in ", classes=["cited-in"])
            for position, name in enumerate(pages):
                cited += nodes.Text("; " if position else "")
                address = app.builder.get_relative_uri(page, name)
                cited += nodes.reference("", app.env.titles[name].astext(), refuri=address)
            node += cited


def setup(app: Sphinx) -> dict[str, bool]:
    """Annotate a page once its bibliography has become a list."""
    app.connect("doctree-resolved", annotate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
