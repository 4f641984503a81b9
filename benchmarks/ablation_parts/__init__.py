"""Parts of the ablation: its runs, and the table of their scores."""
