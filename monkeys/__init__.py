"""The monkeys that come with simian. They register through the entry-point group ``simian.monkeys``, as anybody's do."""
