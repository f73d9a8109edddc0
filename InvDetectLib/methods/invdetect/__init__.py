"""The noise predictor, the way to its noise latents, and the method `invdetect` built on both."""
