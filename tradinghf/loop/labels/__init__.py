"""The label-efficiency benchmark: how much of a trader's taste so many rankings teach."""
