"""One engine measures: line-ups, counted work, metrics, intervals, one results schema, and its page."""

from lesa_framework.measure.counting import workload_of
from lesa_framework.measure.images import to_pil
from lesa_framework.measure.matching import match
from lesa_framework.measure.meter import held_bytes
from lesa_framework.measure.page.render import write_page
from lesa_framework.measure.results import Results, Row
from lesa_framework.measure.results_file import read_results

__all__ = ["Results", "Row", "held_bytes", "match", "read_results", "to_pil", "workload_of", "write_page"]
