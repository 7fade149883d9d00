"""The page of a search: what was tried, and what it gained."""

from lesa_framework.search.page.render import write_page

__all__ = ["write_page"]
