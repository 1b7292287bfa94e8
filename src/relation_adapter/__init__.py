"""Edit pictures by example: show one picture before and after an edit, get the same edit on others."""
