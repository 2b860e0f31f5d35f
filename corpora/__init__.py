"""Historical texts: from raw sources to century slices.

``progressgym corpora build`` runs it all: a :class:`Source` yields documents, :mod:`.cleaning`
reduces each to its author's words, :mod:`.passages` cuts it, :mod:`.duplicates` and
:mod:`.slicing` decide what enters an era and on which side of the split.
"""

from .documents import Document, Part, SetAside, Source

__all__ = ["Document", "Part", "SetAside", "Source"]
