"""Stage 5: what leaves the house: encrypted extracts for the units, their signed manifests, and the keys
for both.
"""
