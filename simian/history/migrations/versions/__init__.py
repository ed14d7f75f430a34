"""One module for each change of the schema; a module that has been released is never edited."""
