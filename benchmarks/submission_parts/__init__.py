"""Parts of the submissions: data, networks and runs."""
