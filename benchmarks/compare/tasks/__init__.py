"""The tasks: each module has ``TITLE``, ``TEXT`` (the metrics in words), ``PROBLEMS`` and ``measure``.

``QUICK`` and ``TRAINED`` are the problems of a quick run and of methods that are trained; ``SEEDED`` those that methods
with a seed run with several. ``HEADLINES`` are the figures that methods are ranked by: name → whether more is better.
``OURS`` is the method of ours that is ranked, fixed beforehand. ``measure(get)`` returns figures as lists, one number
per replicate.
"""

from . import activity, cost, embedding, heldout, names, response, stability

ALL = {"T1": response, "T2": activity, "T3": heldout, "T4": names, "T5": embedding, "T6": stability, "T7": cost}
