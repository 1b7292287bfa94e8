"""Where pairs come from: one reader a form, all of which yield the same."""
