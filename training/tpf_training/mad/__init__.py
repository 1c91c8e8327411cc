"""MAD, multi-expert adaptive distillation: the fusion adapter learns from published image fusion networks."""
