"""Areas and routes (车辆管理类).

Coordinates are without sign: the attributes say which hemisphere. A date of zeros in a time means every day.

Source: JT/T 808-2011, JT/T 808-2013 and JT/T 808-2019, sections 8.34 to 8.43.
"""

from __future__ import annotations

from construct import Array, ConstructError, GreedyBytes, If, Int8ub, Int16ub, Int32ub, Prefixed, Struct, this

from protocols.fields import BcdTime, Bit, Choice, Count, Declaration, Flags, Option, Scaled, Text
from protocols.items import UntilEnd
from protocols.jt808.rows import EXTRA, Answer, downlink, uplink

AREA_QUERY_RESPONSE = 0x0608
SET_CIRCLES, DELETE_CIRCLES = 0x8600, 0x8601
SET_RECTANGLES, DELETE_RECTANGLES = 0x8602, 0x8603
SET_POLYGON, DELETE_POLYGONS = 0x8604, 0x8605
SET_ROUTE, DELETE_ROUTES = 0x8606, 0x8607
QUERY_AREAS = 0x8608

_ALERTS = {
    2: Bit("entry_to_driver", "Entry told to the driver 进区域报警给驾驶员"),
    3: Bit("entry_to_platform", "Entry told to the platform 进区域报警给平台"),
    4: Bit("exit_to_driver", "Exit told to the driver 出区域报警给驾驶员"),
    5: Bit("exit_to_platform", "Exit told to the platform 出区域报警给平台"),
}
_AREA = (
    {0: Bit("timed", "At a time only 根据时间"), 1: Bit("speed_limited", "Speed limited 限速")}
    | _ALERTS
    | {
        6: Bit("south", "South latitude 南纬"),
        7: Bit("west", "West longitude 西经"),
        8: Bit("doors_forbidden", "Doors may not be opened 禁止开门"),
        14: Bit("communication_off", "Communication off inside 进区域关闭通信模块"),
        15: Bit("gnss_details", "Detailed GNSS data inside 进区域采集GNSS详细定位数据"),
    }
)
_ROUTE = {0: Bit("timed", "At a time only 根据时间")} | _ALERTS
_SEGMENT = {
    0: Bit("driving_time", "Driving time limited 行驶时间"),
    1: Bit("speed_limited", "Speed limited 限速"),
    2: Bit("south", "South latitude 南纬"),
    3: Bit("west", "West longitude 西经"),
}
_SETTINGS = {
    0: Option("update", "Update 更新区域"),
    1: Option("append", "Append 追加区域"),
    2: Option("modify", "Modify 修改区域"),
}
_KINDS = {
    1: Option("circle", "Circles 圆形区域"),
    2: Option("rectangle", "Rectangles 矩形区域"),
    3: Option("polygon", "Polygons 多边形区域"),
    4: Option("route", "Routes 线路"),
}
_HAS_TIME = this.attributes & 1
_HAS_LIMIT = this.attributes & 2


def _degrees(name: str, text: str) -> Declaration:
    return name / Scaled(Int32ub, 1_000_000, "°") * text


_AREA_ID = "area_id" / Int32ub * "Area 区域ID"
_AREA_ATTRIBUTES = "attributes" / Flags(Int16ub, _AREA) * "Attributes 区域属性"
_TIMES = (
    "start_time" / If(_HAS_TIME, BcdTime(8)) * "From, GMT+8 起始时间",
    "end_time" / If(_HAS_TIME, BcdTime(8)) * "To, GMT+8 结束时间",
)
_LIMIT = (
    "speed_limit_kmh" / If(_HAS_LIMIT, Scaled(Int16ub, 1, "km/h")) * "Speed limit 最高速度",
    "overspeed_duration_s" / If(_HAS_LIMIT, Scaled(Int8ub, 1, "s")) * "How long too fast 超速持续时间",
)
_NIGHT = ("night_speed_limit_kmh" / If(_HAS_LIMIT, Scaled(Int16ub, 1, "km/h")) * "Speed limit at night 夜间最高速度",)
_NAME = ("name" / Prefixed(Int16ub, Text()) * "Name 名称",)
_SINCE_2019 = (*_NIGHT, *_NAME)
_CIRCLE = (
    _AREA_ID,
    _AREA_ATTRIBUTES,
    _degrees("latitude", "Latitude of the centre 中心点纬度"),
    _degrees("longitude", "Longitude of the centre 中心点经度"),
    "radius_m" / Scaled(Int32ub, 1, "m") * "Radius 半径",
    *_TIMES,
    *_LIMIT,
)
_RECTANGLE = (
    _AREA_ID,
    _AREA_ATTRIBUTES,
    _degrees("upper_latitude", "Latitude of the upper left corner 左上点纬度"),
    _degrees("left_longitude", "Longitude of the upper left corner 左上点经度"),
    _degrees("lower_latitude", "Latitude of the lower right corner 右下点纬度"),
    _degrees("right_longitude", "Longitude of the lower right corner 右下点经度"),
    *_TIMES,
    *_LIMIT,
)
_POLYGON = (
    _AREA_ID,
    _AREA_ATTRIBUTES,
    *_TIMES,
    *_LIMIT,
    "count" / Count(Int16ub, "vertices") * "Number of vertices 区域总顶点数",
    "vertices"
    / Array(this.count, Struct(_degrees("latitude", "Latitude 顶点纬度"), _degrees("longitude", "Longitude 顶点经度")))
    * "Vertices 顶点项",
)
_POINT = (
    "point_id" / Int32ub * "Turning point 拐点ID",
    "segment_id" / Int32ub * "Segment from here to the next point 路段ID",
    _degrees("latitude", "Latitude 拐点纬度"),
    _degrees("longitude", "Longitude 拐点经度"),
    "width_m" / Scaled(Int8ub, 1, "m") * "Width of the segment 路段宽度",
    "attributes" / Flags(Int8ub, _SEGMENT) * "Attributes of the segment 路段属性",
    "too_long_s" / If(_HAS_TIME, Scaled(Int16ub, 1, "s")) * "Driving time that is too long 路段行驶过长阈值",
    "too_short_s" / If(_HAS_TIME, Scaled(Int16ub, 1, "s")) * "Driving time that is too short 路段行驶不足阈值",
    *_LIMIT,
)


def _areas(item: tuple[Declaration, ...]) -> tuple[Declaration, ...]:
    return (
        "setting" / Choice(Int8ub, _SETTINGS) * "What to do 设置属性",
        "count" / Count(Int8ub, "areas") * "Number of areas 区域总数",
        "areas" / Array(this.count, Struct(*item)) * "Areas 区域项",
    )


def _route(point: tuple[Declaration, ...]) -> tuple[Declaration, ...]:
    return (
        "route_id" / Int32ub * "Route 路线ID",
        "attributes" / Flags(Int16ub, _ROUTE) * "Attributes 路线属性",
        *_TIMES,
        "count" / Count(Int16ub, "points") * "Number of turning points 路线总拐点数",
        "points" / Array(this.count, Struct(*point)) * "Turning points 拐点项",
    )


_BODIES_2019 = {
    1: _areas((*_CIRCLE, *_SINCE_2019)),
    2: _areas((*_RECTANGLE, *_SINCE_2019)),
    # The night's limit stands behind the vertices.
    3: (*_POLYGON, *_SINCE_2019),
    4: (*_route((*_POINT, *_NIGHT)), *_NAME),
}
_CIRCLES = {"2011": Struct(*_areas(_CIRCLE), EXTRA), "2019": Struct(*_BODIES_2019[1], EXTRA)}
_RECTANGLES = {"2011": Struct(*_areas(_RECTANGLE), EXTRA), "2019": Struct(*_BODIES_2019[2], EXTRA)}
_POLYGONS = {"2011": Struct(*_POLYGON, EXTRA), "2019": Struct(*_BODIES_2019[3], EXTRA)}
_ROUTES = {"2011": Struct(*_route(_POINT), EXTRA), "2019": Struct(*_BODIES_2019[4], EXTRA)}
_DELETION = Struct(
    "count" / Count(Int8ub, "ids") * "Number of areas or routes, 0 for all 区域数",
    "ids" / Array(this.count, Int32ub) * "Areas or routes, at most 125 区域ID",
    EXTRA,
)
_DELETIONS = {"2011": _DELETION}
_KIND = "kind" / Choice(Int8ub, _KINDS) * "Kind 查询类型"
_QUERY_AREAS = Struct(
    _KIND,
    "count" / Count(Int32ub, "ids") * "Number of areas or routes, 0 for all 查询的区域数",
    "ids" / Array(this.count, Int32ub) * "Areas or routes 查询的ID",
    EXTRA,
)
_RESPONSES = {
    number: Struct(
        _KIND,
        "count" / Count(Int32ub, "data") * "Number of areas or routes 查询返回的数据数量",
        "data" / UntilEnd(Struct(*body)) * "Areas or routes, each as it is set 查询返回的数据",
    )
    for number, body in _BODIES_2019.items()
}
_RESPONSE_RAW = Struct(
    _KIND,
    "count" / Int32ub * "Number of areas or routes 查询返回的数据数量",
    "data" / GreedyBytes * "Data of a layout of the vendor's own 查询返回的数据",
)


def _area_query_response_layout(body: bytes, is_2019: bool) -> Struct:
    """Some terminals send areas without setting and count: what does not come out even stays raw."""
    layout = _RESPONSES.get(body[0] if body else 0)
    if layout is None:
        return _RESPONSE_RAW
    try:
        data = layout.parse(body).data
    except ConstructError:
        return _RESPONSE_RAW
    return _RESPONSE_RAW if data.trailing else layout


ROWS = (
    uplink(
        AREA_QUERY_RESPONSE,
        "area_query_response",
        "Query area or route response",
        "查询区域或线路数据应答",
        {f"2019 {_KINDS[number].name}": layout for number, layout in _RESPONSES.items()} | {"2019 raw": _RESPONSE_RAW},
        Answer.NONE,
        _area_query_response_layout,
    ),
    downlink(SET_CIRCLES, "set_circles", "Set circular areas", "设置圆形区域", _CIRCLES),
    downlink(DELETE_CIRCLES, "delete_circles", "Delete circular areas", "删除圆形区域", _DELETIONS),
    downlink(SET_RECTANGLES, "set_rectangles", "Set rectangular areas", "设置矩形区域", _RECTANGLES),
    downlink(DELETE_RECTANGLES, "delete_rectangles", "Delete rectangular areas", "删除矩形区域", _DELETIONS),
    downlink(SET_POLYGON, "set_polygon", "Set polygon area", "设置多边形区域", _POLYGONS),
    downlink(DELETE_POLYGONS, "delete_polygons", "Delete polygon areas", "删除多边形区域", _DELETIONS),
    downlink(SET_ROUTE, "set_route", "Set route", "设置路线", _ROUTES),
    downlink(DELETE_ROUTES, "delete_routes", "Delete routes", "删除路线", _DELETIONS),
    downlink(
        QUERY_AREAS, "query_areas", "Query area or route data", "查询区域或线路数据", {"2019": _QUERY_AREAS}, (AREA_QUERY_RESPONSE,)
    ),
)
