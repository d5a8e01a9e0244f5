"""One file a science problem: where data, model, loss, evaluation and figures meet."""
