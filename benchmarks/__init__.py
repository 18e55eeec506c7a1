"""Measurements that are run by hand (`make bench`); no test depends on them."""
