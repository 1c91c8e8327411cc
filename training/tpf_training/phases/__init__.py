"""The two phases of training, as PyTorch Lightning modules, and their commands."""
