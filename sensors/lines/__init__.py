"""The line of one trigger: events in bus order, into its checkpoint, into actions. Steps 5 and 12.

At least once acts, then remembers: a crash repeats what was not remembered yet. At most once remembers (claims), then
acts: a crash leaves claimed firings whose outcome nobody knows, and they are kept as dead letters, never repeated. All
end in a `Decision` for every event.
"""

from sensors.lines.at_least_once import AtLeastOnceLine
from sensors.lines.at_most_once import AtMostOnceLine, interrupted
from sensors.lines.base import Action, Line, Parts
from sensors.lines.overlapping import OverlappingLine

__all__ = ["Action", "AtLeastOnceLine", "AtMostOnceLine", "Line", "OverlappingLine", "Parts", "interrupted"]
