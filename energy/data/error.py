"""What is wrong with a data set, in one line."""


class DataError(ValueError):
    """A data set that is missing, damaged, hostile or unusable; the message names the file, the fault and the cure."""
