"""Where published files lie: a folder of weights, the hub's cache, or the hub itself."""

from relation_adapter.hub.lookup import find
from relation_adapter.hub.parts import FLUX_DEV, Part, Places
from relation_adapter.hub.whole import check_file, check_folder, check_sums

__all__ = ["FLUX_DEV", "Part", "Places", "check_file", "check_folder", "check_sums", "find"]
