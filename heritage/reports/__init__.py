"""Pages and pictures for people; the only importers of Evidently and matplotlib."""
