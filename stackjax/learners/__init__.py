"""Learners: one file an algorithm. A new one starts from `_template.py` and gets a line in `stackjax/catalogue.py`."""

from stackjax.learners.best_response import BestResponse as BestResponse
from stackjax.learners.every import Every as Every
from stackjax.learners.fixed import Fixed as Fixed
from stackjax.learners.gradient_ascent import GradientAscent as GradientAscent
from stackjax.learners.hic import HiC as HiC
from stackjax.learners.hierarchical_ascent import HierarchicalAscent as HierarchicalAscent
