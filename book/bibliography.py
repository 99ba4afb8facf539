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
    entries = {each.citation_id: each for each in domain.citations if each.bibliography_key.docname == page}
    citing: dict[str, set[str]] = {}
    for reference in domain.citation_refs:
        for target in reference.targets:
            citing.setdefault(target.key, set()).add(reference.docname)
    for node in doctree.findall(nodes.citation):
        found, notes = entries[node["ids"][0]], nodes.container(classes=["annotation"])
        if "annote" in found.entry.fields:
            text = str(Text.from_latex(found.entry.fields["annote"]))
            notes += nodes.paragraph("", text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"))
        if pages := sorted(citing.get(found.key, set()) - {page}):
            cited = nodes.paragraph("", "Cited in ")
            for position, name in enumerate(pages):
                cited += nodes.Text("; " if position else "")
                address = app.builder.get_relative_uri(page, name)
                cited += nodes.reference("", app.env.titles[name].astext(), refuri=address)
            notes += cited
        node += notes


def setup(app: Sphinx) -> dict[str, bool]:
    """Annotate a page once its bibliography has become a list."""
    app.connect("doctree-resolved", annotate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
