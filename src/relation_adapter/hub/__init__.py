"""Where published files lie: a folder of weights, the hub's cache, or the hub itself."""

from relation_adapter.hub.find import check_folder, check_sums, find
from relation_adapter.hub.parts import FLUX_DEV, Part, Places

__all__ = ["FLUX_DEV", "Part", "Places", "check_folder", "check_sums", "find"]
