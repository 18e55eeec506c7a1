"""Stage 4: the frozen frame, the quotas, the draw of enterprises and of inspectors."""
