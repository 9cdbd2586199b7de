"""Rewrites references of images to those of the mirror: in files, and as configuration of tools that do so."""
