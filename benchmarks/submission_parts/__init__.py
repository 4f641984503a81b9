"""Parts of the submissions: data, networks, views, the decision rule, and runs."""
