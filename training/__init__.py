"""Training: any timm model on any generator, from a config file or flags; run from a checkout."""
