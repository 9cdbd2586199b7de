"""Finds the images that files name, e.g. manifests, compose files and Dockerfiles, and compares them with mirrors."""
