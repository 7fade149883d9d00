"""The page of a search: what was tried, and what it gained."""

from lesa_framework.search.page.render import check_page, write_page

__all__ = ["check_page", "write_page"]
