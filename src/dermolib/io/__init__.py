"""Image files, read whole or refused, written whole or not at all; HDF5 collections; folders."""

from dermolib.io.files import (
    TEMPORARY,
    check_file,
    digest_file,
    explain_disk_full,
    open_file,
    parse_json,
    read_bytes,
    remove_halves,
    whole_file,
    write_table,
)
from dermolib.io.hdf5 import (
    ENDINGS,
    contained,
    hdf5_path,
    read_hdf5,
    read_hdf5_bytes,
    split_path,
)
from dermolib.io.images import (
    MAX_PIXELS,
    decode_image,
    read_image,
    read_mask,
    resize_image,
    resize_mask,
    write_image,
    write_mask,
)
from dermolib.io.listing import EXCLUDED, SUFFIXES, Listing, check_source, list_images
from dermolib.io.names import check_names, fold_case, is_portable

__all__ = [
    "ENDINGS",
    "EXCLUDED",
    "MAX_PIXELS",
    "SUFFIXES",
    "TEMPORARY",
    "Listing",
    "check_file",
    "check_names",
    "check_source",
    "contained",
    "decode_image",
    "digest_file",
    "explain_disk_full",
    "fold_case",
    "hdf5_path",
    "is_portable",
    "list_images",
    "open_file",
    "parse_json",
    "read_bytes",
    "read_hdf5",
    "read_hdf5_bytes",
    "read_image",
    "read_mask",
    "remove_halves",
    "resize_image",
    "resize_mask",
    "split_path",
    "whole_file",
    "write_image",
    "write_mask",
    "write_table",
]
