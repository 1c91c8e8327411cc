"""What both phases share: drawing batches, PyTorch Lightning's trainer, the moving average, logs."""
