"""Hair and other thin occlusions: methods that find them, and inpainting of what they covered."""
