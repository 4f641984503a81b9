"""Parts of the ablation."""
