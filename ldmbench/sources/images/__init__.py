"""Folders, zips and npz files of images: listed, decoded, inspected, split."""
