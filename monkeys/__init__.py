"""The monkeys that come with simian, registered through the entry-point group ``simian.monkeys`` as anybody's are."""
