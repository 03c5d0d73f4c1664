"""Entities and views of the feature store, as `feast apply` and `pipelines.features` read them.

The Parquet files are made by `pipelines.features`: users are made up from a fixed seed, the bottles are the
real measurements that ship with scikit-learn. Says what there is, not where it comes from.
"""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Float64, Int64

MEASUREMENTS = (
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280_od315",
    "proline",
)

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
bottle = Entity(name="bottle", join_keys=["bottle_id"], value_type=ValueType.INT64)

user_features = FeatureView(
    name="user_features",
    entities=[user],
    ttl=timedelta(days=1),
    schema=[
        Field(name="age", dtype=Int64),
        Field(name="avg_purchase", dtype=Float32),
        Field(name="total_spend", dtype=Float32),
    ],
    source=FileSource(path="data/users.parquet", timestamp_field="event_timestamp"),
)

wine_measurements = FeatureView(
    name="wine_measurements",
    entities=[bottle],
    ttl=timedelta(0),  # a bottle is measured once: this does not get stale
    schema=[Field(name=name, dtype=Float64) for name in MEASUREMENTS],
    source=FileSource(path="data/bottles.parquet", timestamp_field="event_timestamp"),
)

OBJECTS = [user, bottle, user_features, wine_measurements]
