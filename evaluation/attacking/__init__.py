"""Ask every attack of a finished cell, and hand its answer to the metrics."""
