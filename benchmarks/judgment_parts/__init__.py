"""Parts of the worked judgment: what is computed, and the page that shows it."""
