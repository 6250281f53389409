"""A page read as a browser reads it, as far as the standard library goes."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "input", "link", "wbr"}


class Page(HTMLParser):
    """Elements of a page in order, its text, and its tables by their source; raises where tags do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.tables, self.text = [], [], [], []
        self._cell = None
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append({"source": dict(attrs)["data-source"], "names": [], "rows": []})
        elif tag == "tr" and "tbody" in self.open:
            self.tables[-1]["rows"].append([])
        elif tag in ("th", "td"):
            if "thead" in self.open:
                self.tables[-1]["names"].append(dict(attrs)["data-name"])
            else:
                self._cell = [dict(attrs).get("data-v"), ""]

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], (tag, self.open)
        self.open.pop()
        if tag in ("td", "th") and self._cell is not None:
            value, text = self._cell
            self.tables[-1]["rows"][-1].append(text.strip() if value is None else float(value))
            self._cell = None

    def handle_data(self, data):
        self.text.append(data)
        if self._cell is not None:
            self._cell[1] += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def table(self, source, name=None):
        """Rows of the table that has this source and this column, by the names of columns."""
        (found,) = [one for one in self.tables if one["source"] == source and (name is None or name in one["names"])]
        return [dict(zip(found["names"], row, strict=True)) for row in found["rows"]]
