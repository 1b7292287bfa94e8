"""The same jobs on the workers of a Ray cluster, through Ray Data; docs/scale.md says how to run one.

`Cluster.spread` is a `data.spread.Spread`: whatever takes one runs on this machine or on many.
"""

from relation_adapter.scale.cluster import LOCAL, Cluster, Slots, connect
from relation_adapter.scale.desk import served

__all__ = ["LOCAL", "Cluster", "Slots", "connect", "served"]
