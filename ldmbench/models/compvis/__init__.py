"""CompVis and guided-diffusion checkpoints, as networks of diffusers."""
